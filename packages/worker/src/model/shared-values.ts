import type { Tensor } from '@longscan/kernels';
import type { LayerContext } from '../layer.js';

/** The `share` of a layer that runs by itself: it is always the first that asks. */
export const shareAlone: LayerContext['share'] = (_name, make) => make();

/** What one block takes from earlier blocks and gives to later ones, by name, in the order in which it asked. */
export interface BlockShare {
  readonly share: LayerContext['share'];
  readonly taken: ReadonlyMap<string, Tensor>;
  readonly given: ReadonlyMap<string, Tensor>;
}

/** Values that layers hand to later layers in one forward pass. Holds a reference to each until `release`. */
export class SharedValues {
  private readonly values: Map<string, Tensor>;

  /** `values`: what is there from the start. */
  constructor(values: ReadonlyMap<string, Tensor> = new Map()) {
    this.values = new Map([...values].map(([name, value]) => [name, value.retain()]));
  }

  forBlock(): BlockShare {
    const taken = new Map<string, Tensor>();
    const given = new Map<string, Tensor>();
    const share: BlockShare['share'] = (name, make) => {
      const known = this.values.get(name);
      if (known === undefined) {
        const made = make().retain();
        this.values.set(name, made);
        given.set(name, made);
        return made;
      }
      if (!given.has(name)) taken.set(name, known);
      return known;
    };
    return { share, taken, given };
  }

  release(): void {
    for (const value of this.values.values()) value.release();
    this.values.clear();
  }
}
