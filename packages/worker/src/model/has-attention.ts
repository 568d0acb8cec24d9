import { empty, openShapeDevice } from '@longscan/kernels';
import type { Layer } from '../layer.js';
import { declarer, ParameterRecorder } from './declared-parameters.js';
import { sliceContexts } from './layer-context.js';

/** A width that the defaults of every layer fit. */
const dModel = 256;

/** Whether a layer with its defaults asks for softmax attention, as its own code shows on a shape device. */
export function hasAttention(layer: Layer): boolean {
  const device = openShapeDevice();
  const place = { index: 0, count: 1 };
  const apply = layer.create(layer.config, declarer(new ParameterRecorder(device), 'mixer', dModel, place));
  const context = sliceContexts(null, null).forLayer(0);
  let isAsked = false;
  apply(empty(device, [1, 16, dModel]), {
    ...context,
    attention(inputs, options) {
      isAsked = true;
      return context.attention(inputs, options);
    },
  });
  return isAsked;
}
