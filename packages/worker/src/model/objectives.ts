import { empty, LongscanError, openShapeDevice } from '@longscan/kernels';
import type { Layer, LayerConfig } from '../layer.js';
import { bidirectionalContexts } from './bidirectional-contexts.js';
import { declarer, ParameterRecorder } from './declared-parameters.js';

/** What the masked objective says to a layer, as its own code shows on a shape-only device; null: it runs. */
export function maskedRefusal(layer: Layer, config: LayerConfig, dModel: number): LongscanError | null {
  const device = openShapeDevice();
  const place = { index: 0, count: 1 };
  const apply = layer.create(config, declarer(new ParameterRecorder(device), 'mixer', dModel, place));
  const shape = [1, 1] as const;
  const whole = { group: null, resets: null, ends: null, before: null, after: null };
  try {
    apply(empty(device, [...shape, dModel]), bidirectionalContexts({ device, shape, ...whole }).forLayer(0));
    return null;
  } catch (error) {
    if (error instanceof LongscanError && error.code === 'E-OBJECTIVE') return error;
    throw error;
  }
}

/** A width that the defaults of every layer fit. */
const usualWidth = 256;

/** The objectives that a model with this layer and its defaults can have. */
export function objectivesOf(layer: Layer): readonly ('causal' | 'masked')[] {
  return maskedRefusal(layer, layer.config, usualWidth) === null ? ['causal', 'masked'] : ['causal'];
}
