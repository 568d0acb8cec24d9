import { type Device, fromArray, openShapeDevice, type Tensor } from '@longscan/kernels';
import type { LayerPlace } from '../../layer.js';
import { declarer, ParameterRecorder, type TensorSource } from '../../model/declared-parameters.js';
import { sliceContexts } from '../../model/layer-context.js';
import { ownLine } from '../../model/own-line.js';
import { buildLayer } from './build-layer.js';
import { deepPlace, prefix, type Variant } from './variant.js';

/** Frames between a layer's own line and the making of a tensor, at most. */
const stackDepth = 50;

/** The line of the layer's own file that made its output, ` (file:line:column)`; empty where it cannot be told. */
export function outputLine(variant: Variant): string {
  const device = openShapeDevice();
  const { apply } = buildLayer(device, variant, deepPlace, 'f32');
  const x = fromArray(device, new Float32Array(variant.dModel), [1, 1, variant.dModel]);
  const lines = new Map<Tensor, string | null>();
  noteTensors(device, (tensor) => lines.set(tensor, lineHere()));
  const output = apply(x, sliceContexts(null, null).forLayer(deepPlace.index));
  return inBrackets(lines.get(output) ?? null);
}

/** The line that declares a parameter, in the same form. */
export function parameterLine({ layer, config, dModel }: Variant, name: string, place: LayerPlace): string {
  const recorder = new ParameterRecorder(openShapeDevice());
  const lines = new Map<string, string | null>();
  const source: TensorSource = {
    device: recorder.device,
    dtype: recorder.dtype,
    parameter: (spec) => {
      lines.set(spec.name, lineHere());
      return recorder.parameter(spec);
    },
  };
  layer.create(config, declarer(source, prefix, dModel, place));
  return inBrackets(lines.get(`${prefix}.${name}`) ?? null);
}

function noteTensors(device: Device, note: (tensor: Tensor) => void): void {
  const own = device.own.bind(device);
  device.own = (tensor) => {
    note(tensor);
    return own(tensor);
  };
}

function lineHere(): string | null {
  const before = Error.stackTraceLimit;
  Error.stackTraceLimit = stackDepth;
  const line = ownLine(new Error());
  Error.stackTraceLimit = before;
  return line;
}

function inBrackets(line: string | null): string {
  return line === null ? '' : ` (${line})`;
}
