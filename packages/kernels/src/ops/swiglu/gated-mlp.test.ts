import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Device, openCpuDevice, openShapeDevice } from '../../device.js';
import { empty } from '../../tensor.js';
import { checkOp } from '../../testing/index.js';
import { checkKnownOutput } from './check-known-output.js';
import { gatedMlp } from './gated-mlp.js';
import { gatedMlpCheck } from './gated-mlp-check.js';

for (const sizes of [
  [1, 3, 5, 2],
  [7, 12, 10, 9],
] as const) {
  test(`gated mlp, ${sizes.join(' x ')}`, () => checkOp(gatedMlpCheck(sizes)));
}

const [rows, numIn, hidden] = [512, 64, 192];

/** FLOPs of a forward pass, and of one whose output is known. */
function flopsOfKnown(device: Device) {
  const leaf = (shape: readonly number[]) => empty(device, shape, 'bf16');
  const x = leaf([rows, numIn]);
  const weights = { gate: leaf([hidden, numIn]), up: leaf([hidden, numIn]), down: leaf([numIn, hidden]) };
  const output = gatedMlp({ x, ...weights });
  const made = device.flops;
  gatedMlp({ x, ...weights }, output.view(output.shape));
  return { made, known: device.flops - made };
}

/** FLOPs of both passes, and bytes that are kept between them, on a device of shapes. */
function measure({ standsForGpu, remakes }: { standsForGpu: boolean; remakes: boolean }) {
  const device = openShapeDevice();
  device.standsForGpu = standsForGpu;
  device.remakesCheapOutputs = remakes;
  const leaf = (shape: readonly number[]) => {
    const tensor = empty(device, shape, 'bf16');
    tensor.requiresGrad = true;
    return tensor;
  };
  const x = leaf([rows, numIn]);
  const [gate, up, down] = [leaf([hidden, numIn]), leaf([hidden, numIn]), leaf([numIn, hidden])];
  const seed = leaf([rows, numIn]);
  const before = device.memory().inUseBytes;
  const { result, tape } = device.record(() => device.scope(() => gatedMlp({ x, gate, up, down })));
  const keptBytes = device.memory().inUseBytes - before - result.bytes;
  device.scope(() => tape.backward([result], [seed], [x]));
  return { flops: device.flops, keptBytes };
}

test('gated mlp ~> as one op it counts the FLOPs of its parts and keeps gate, up and, unless told otherwise, their product', () => {
  const parts = measure({ standsForGpu: false, remakes: false });
  const one = measure({ standsForGpu: true, remakes: false });
  const remade = measure({ standsForGpu: true, remakes: true });
  for (const { flops } of [one, remade]) assert.is(flops, parts.flops);
  assert.is(one.keptBytes, 3 * rows * hidden * 2);
  assert.is(remade.keptBytes, 2 * rows * hidden * 2);
});

test('gated mlp ~> a known output takes the place of the last product', async () => {
  const device = openCpuDevice({ poison: true });
  await checkKnownOutput(device, 'f32');
  device.close();
  const shapes = openShapeDevice();
  shapes.standsForGpu = true;
  const { made, known } = flopsOfKnown(shapes);
  assert.is(made - known, 2 * rows * hidden * numIn);
});

test.run();
