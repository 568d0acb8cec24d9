import type { Tensor } from '@longscan/kernels';

/**
 * What crosses from one time slice of a sequence into the next, or the gradient of that: states and halos by layer and
 * call. Holds a reference to each until `release`.
 */
export class Border {
  private readonly tensors: Map<string, Tensor>;

  constructor(tensors: Iterable<readonly [string, Tensor]> = []) {
    this.tensors = new Map(Array.from(tensors, ([key, tensor]) => [key, tensor.retain()]));
  }

  get entries(): readonly (readonly [string, Tensor])[] {
    return [...this.tensors];
  }

  get(key: string): Tensor | null {
    return this.tensors.get(key) ?? null;
  }

  keep(key: string, tensor: Tensor): void {
    this.tensors.set(key, tensor.retain());
  }

  /** The same elements as leaves of a tape, to be differentiated by. */
  asLeaves(): Border {
    return new Border(
      this.entries.map(([key, tensor]) => {
        const leaf = tensor.view(tensor.shape);
        leaf.requiresGrad = true;
        return [key, leaf];
      }),
    );
  }

  release(): void {
    for (const tensor of this.tensors.values()) tensor.release();
    this.tensors.clear();
  }
}

/** One call of a layer that looks back, in a pass over one time slice. */
export interface CrossingCall {
  /** What the slice before left; null: the sequence begins here. */
  readonly entering: Tensor | null;
  /** Says what the call leaves to the slice after this one. Gradients go through both. */
  leave(tensor: Tensor): void;
}

/** A pass over one time slice: what enters its calls and what they leave. */
export class Crossing {
  readonly leaving = new Border();

  constructor(readonly entering: Border) {}

  /** The calls of one layer, in their order. */
  callsOf(layer: number): () => CrossingCall {
    let numCalls = 0;
    return () => {
      const key = `${layer}.${numCalls++}`;
      return {
        entering: this.entering.get(key),
        leave: (tensor) => this.leaving.keep(key, tensor),
      };
    };
  }
}
