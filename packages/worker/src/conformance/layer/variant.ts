import { LongscanError, openShapeDevice } from '@longscan/kernels';
import type { Layer, LayerConfig, LayerPlace } from '../../layer.js';
import { declarer, ParameterRecorder } from '../../model/declared-parameters.js';
import type { ParameterSpec } from '../../model/init.js';

/** A layer with options set, at a width that is quick to check. */
export interface Variant {
  readonly layer: Layer;
  /** What differs from the defaults. */
  readonly label: string;
  readonly config: LayerConfig;
  readonly dModel: number;
}

/** Depth at which a schedule of decays over the layers is slow, but not none. */
export const deepPlace: LayerPlace = { index: 8, count: 10 };

const widths = [16, 32, 64, 128, 256];

/** The defaults, then every other value of each option that has choices, then every flag turned over. */
export function variantsOf(layer: Layer): Variant[] {
  const changes: LayerConfig[] = [{}];
  for (const [key, value] of Object.entries(layer.config)) {
    const values = typeof value === 'boolean' ? [true, false] : (layer.choices?.[key] ?? []);
    changes.push(...values.filter((other) => other !== value).map((other) => ({ [key]: other })));
  }
  const configs = changes.map((change) => ({ ...layer.config, ...change }));
  const dModel = smallestWidth(layer, configs);
  return configs.map((config, i) => ({ layer, label: labelOf(changes[i]!), config, dModel }));
}

/** Parameters that a variant declares, in its order. */
export function parameterSpecs({ layer, config, dModel }: Variant, place = deepPlace): ParameterSpec[] {
  const recorder = new ParameterRecorder(openShapeDevice());
  layer.create(config, declarer(recorder, prefix, dModel, place));
  return recorder.specs;
}

/** A parameter's own name, as the layer gives it. */
export function ownName({ name }: ParameterSpec): string {
  return name.slice(prefix.length + 1);
}

export const prefix = 'mixer';

function smallestWidth(layer: Layer, configs: readonly LayerConfig[]): number {
  for (const dModel of widths) {
    try {
      for (const config of configs) parameterSpecs({ layer, label: '', config, dModel });
      return dModel;
    } catch (error) {
      const isTooNarrow = error instanceof LongscanError && error.code === 'E-SHAPE';
      if (!isTooNarrow || dModel === widths.at(-1)) throw error;
    }
  }
  throw new RangeError('no width to check at');
}

function labelOf(change: LayerConfig): string {
  const [entry] = Object.entries(change);
  return entry === undefined ? 'defaults' : `${entry[0]} = ${JSON.stringify(entry[1])}`;
}
