import { fill, joinHalves, openCpuDevice, openShapeDevice } from '@longscan/kernels';
import { randomNormal } from '@longscan/kernels/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ParameterSpec } from './init.js';
import { Parameters } from './parameters.js';

const one = { constant: 1 };
const specs: ParameterSpec[] = [
  { name: 'embedding', shape: [5, 4], init: one, isRounded: true },
  { name: 'layers.0.norm', shape: [4], init: one, block: 0 },
  { name: 'layers.0.q', shape: [4, 4], init: one, isRounded: true, block: 0 },
  { name: 'layers.0.a_log', shape: [3], init: one, block: 0 },
];

test('bf16 ~> ops see matrices rounded and everything else as it is; values and gradients are f32', () => {
  const parameters = new Parameters(openShapeDevice(), specs, { precision: 'bf16', numShards: 3 });
  const seen = specs.map((spec) => parameters.parameter(spec));
  assert.equal(
    seen.map(({ dtype }) => dtype),
    ['bf16', 'f32', 'bf16', 'f32'],
  );
  for (const [i, { name, shape }] of specs.entries()) {
    assert.equal(seen[i]!.shape, shape);
    assert.is(seen[i]!.gradient!.dtype, 'f32');
    assert.is(parameters.valuesOf(name).dtype, 'f32');
    assert.equal(parameters.valuesOf(name).shape, shape);
  }
  assert.equal(
    Object.values(parameters.halves!).map(({ size }) => size),
    [parameters.size, parameters.size],
  );
  assert.is(parameters.size % (3 * 16), 0, 'shards begin on vector boundaries');
});

test('bf16 ~> values are kept to the last bit, in the memory of f32', async () => {
  const device = openCpuDevice({ poison: true });
  const parameters = new Parameters(device, specs, { precision: 'bf16' });
  const { high, low } = parameters.halves!;
  assert.is(high.bytes + low.bytes, 4 * parameters.size);
  const before = device.memory().numTensors;
  for (const { name, shape } of specs) {
    const values = Float32Array.from(randomNormal(shape[0]! * (shape[1] ?? 1), 1));
    parameters.write(name, values);
    const found = parameters.valuesOf(name);
    assert.equal(await found.read(), values);
    found.release();
    const seen = await parameters.byName.get(name)!.readNumbers();
    values.forEach((value, i) => {
      assert.ok(Math.abs(seen[i]! - value) <= 2 ** -8 * Math.abs(value));
    });
  }
  assert.is(device.memory().numTensors, before);
  // Padding is zero in whole, and stays so.
  const all = await joinHalves(parameters.halves!).read();
  const [end, next] = [parameters.numUnrounded + 20, parameters.numUnrounded + 32];
  assert.ok(all.subarray(end, next).every((value) => value === 0));
  device.close();
});

test('bf16 ~> initial values are those of f32', async () => {
  const device = openCpuDevice();
  const drawn = specs.map((spec) => ({ ...spec, init: { normal: 0.5 } }));
  const [whole, halved] = (['f32', 'bf16'] as const).map((precision) => {
    const parameters = new Parameters(device, drawn, { precision });
    parameters.initialise(3);
    return parameters;
  }) as [Parameters, Parameters];
  for (const { name } of specs) {
    assert.equal(await halved.valuesOf(name).read(), await whole.valuesOf(name).read());
  }
  device.close();
});

test('bf16 ~> what is not rounded lies before the rest; f32 keeps the order of declaration', () => {
  const offsets = (precision: 'f32' | 'bf16') => {
    const parameters = new Parameters(openShapeDevice(), specs, { precision });
    return { offsets: parameters.layout().map(({ offset }) => offset), first: parameters.numUnrounded };
  };
  assert.equal(offsets('bf16'), { offsets: [32, 0, 64, 16], first: 32 });
  assert.equal(offsets('f32').offsets, [0, 32, 48, 64]);
});

test('gradients ~> what no op has reached is zero after a step, whatever it was', async () => {
  const device = openCpuDevice();
  const parameters = new Parameters(device, specs, { numExtra: 2 });
  fill(parameters.gradients, Number.NaN);
  parameters.startGradients();
  const reached = parameters.parameter(specs[2]!);
  fill(reached.gradient!, 3);
  reached.isGradientStale = false;
  parameters.finishGradients();
  for (const { name } of specs) {
    const values = [...(await parameters.byName.get(name)!.gradient!.read())];
    assert.ok(
      values.every((value) => value === (name === 'layers.0.q' ? 3 : 0)),
      name,
    );
  }
  assert.equal([...(await parameters.extra().read())], [0, 0]);
  device.close();
});

test('gradients ~> what a bucket has is finished by itself, the rest later', async () => {
  const device = openCpuDevice();
  const parameters = new Parameters(device, specs, { bucketBytes: 1 });
  assert.is(parameters.buckets.length, 2);
  const [last] = parameters.buckets;
  fill(parameters.gradients, 7);
  parameters.startGradients();
  parameters.finishBucket(last!);
  const valuesOf = async (name: string) => [...new Set(await parameters.byName.get(name)!.gradient!.read())];
  for (const name of ['layers.0.norm', 'layers.0.q', 'layers.0.a_log'])
    assert.equal(await valuesOf(name), [0]);
  assert.equal(await valuesOf('embedding'), [7]);
  parameters.finishGradients();
  assert.equal(await valuesOf('embedding'), [0]);
  device.close();
});

test('gradients ~> passes begun anew are not watched by those that broke off', () => {
  const device = openCpuDevice();
  const parameters = new Parameters(device, specs);
  const passed: string[] = [];
  const pass = () => device.record(() => parameters.beforeBlock(0)).tape.backward([], []);
  parameters.startGradients();
  parameters.watchBackward(() => passed.push('broken off'));
  parameters.startGradients();
  pass();
  assert.equal(passed, []);
  parameters.watchBackward(() => passed.push('whole'));
  pass();
  assert.equal(passed, ['whole']);
  device.close();
});

test('updates on another stream ~> a block waits for its own, and not for those after it', async () => {
  const device = openCpuDevice();
  const parameters = new Parameters(device, specs);
  const aside = device.createStream('aside');
  parameters.noteUpdate(0, aside.record());
  const openGate = aside.closeGate();
  parameters.noteUpdate(1, aside.record());
  await aside.device.compute.sync();
  parameters.beforeBlock(0);
  await device.compute.sync();
  parameters.beforeBlock(1);
  let isDone = false;
  const done = device.compute.sync().then(() => {
    isDone = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.not(isDone, 'the second block has not waited');
  openGate();
  await done;
  device.close();
});

test.run();
