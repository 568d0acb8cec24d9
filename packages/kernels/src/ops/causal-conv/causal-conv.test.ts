import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Device, openCpuDevice } from '../../device.js';
import { empty, fromArray } from '../../tensor.js';
import { checkOp, randomNormal } from '../../testing/index.js';
import { activationReference } from '../pointwise/reference.js';
import { causalConv } from './index.js';
import { type Case, problem, type UnitCase } from './problem.js';
import { causalConvReference, unitConvReference } from './reference.js';

const cases: readonly Case[] = [
  { B: 1, T: 1, D: 1, W: 1 },
  { B: 2, T: 7, D: 3, W: 2, starts: [3, 7, 8] },
  { B: 1, T: 130, D: 33, W: 4 },
  { B: 3, T: 70, D: 17, W: 4, starts: [0, 1, 69, 71, 100, 101, 103, 209] },
  { B: 2, T: 3, D: 5, W: 6, starts: [4] },
  { B: 2, T: 3, D: 5, W: 6 },
];

const onDevice = (device: Device, { B, T }: Case, flags: Int32Array | null) =>
  flags && fromArray(device, flags, [B, T], 'i32');

for (const sizes of cases) {
  const { W } = sizes;
  const { label, flags, inputs, bias, halo } = problem(sizes);

  test(`causal-conv ${label}`, async () => {
    await checkOp({
      name: 'plain',
      inputs,
      op: ({ x, weight }, device) => [
        causalConv({ x, weight, bias: null, halo: null }, { resets: onDevice(device, sizes, flags) }),
      ],
      reference: (values) => [causalConvReference(values, sizes, flags)],
    });
  });

  test(`causal-conv ${label}, bias, halo and silu`, async () => {
    if (W === 1) return;
    await checkOp({
      name: 'all',
      inputs: { ...inputs, bias, halo },
      op: (tensors, device) => [
        causalConv(tensors, { resets: onDevice(device, sizes, flags), activation: 'silu' }),
      ],
      reference: (values) => [causalConvReference(values, sizes, flags).map(activationReference.silu)],
    });
  });
}

const unitCases: readonly UnitCase[] = [
  { B: 2, T: 7, D: 6, W: 2, size: 3, starts: [3, 7, 8] },
  { B: 1, T: 70, D: 24, W: 4, size: 8, starts: [0, 1, 69] },
  { B: 2, T: 5, D: 5, W: 6, size: 5 },
];

for (const sizes of unitCases) {
  const { label, flags, inputs, bias, halo } = problem(sizes);
  const unitHeads = { size: sizes.size, eps: 1e-3 };

  test(`causal-conv ${label}, heads of ${sizes.size} of length one`, async () => {
    await checkOp({
      name: 'heads',
      inputs: { ...inputs, bias, halo },
      op: (tensors, device) => [
        causalConv(tensors, { resets: onDevice(device, sizes, flags), activation: 'silu', unitHeads }),
      ],
      reference: (values) => [unitConvReference(values, sizes, flags, unitHeads)],
    });
  });
}

test('a slice with the halo of the one before is the whole, cut', async () => {
  const [B, T, D, W] = [2, 20, 5, 4];
  const device = openCpuDevice({ poison: true });
  const weight = fromArray(device, randomNormal(D * W, 1), [D, W]);
  const x = Array.from({ length: B }, (_, b) => randomNormal(T * D, 2 + b));
  const slice = (from: number, to: number) =>
    fromArray(
      device,
      x.flatMap((row) => [...row.subarray(from * D, to * D)]),
      [B, to - from, D],
    );
  const conv = (from: number, to: number, halo: [number, number] | null) =>
    causalConv(
      { x: slice(from, to), weight, bias: null, halo: halo && slice(...halo) },
      { resets: null },
    ).readNumbers();
  const whole = await conv(0, T, null);
  const second = await conv(9, T, [6, 9]);
  for (let b = 0; b < B; b++) {
    assert.equal(
      second.subarray(b * (T - 9) * D, (b + 1) * (T - 9) * D),
      whole.subarray((b * T + 9) * D, (b + 1) * T * D),
    );
  }
  device.close();
});

test('a document of NaN changes no bit of the next one, nor of its gradients', async () => {
  const [T, D, W, start] = [12, 5, 4, 5];
  const run = async (poison: number) => {
    const device = openCpuDevice({ poison: true });
    const values = randomNormal(T * D, 1).map((value, i) => (i < start * D ? poison : value));
    const x = fromArray(device, values, [1, T, D]);
    x.requiresGrad = true;
    x.gradient = fromArray(device, new Float64Array(T * D), [1, T, D]);
    const weight = fromArray(device, randomNormal(D * W, 2), [D, W]);
    const halo = fromArray(device, new Float64Array((W - 1) * D).fill(poison), [1, W - 1, D]);
    const resets = fromArray(
      device,
      Int32Array.from({ length: T }, (_, t) => Number(t === start)),
      [1, T],
      'i32',
    );
    const { result, tape } = device.record(() =>
      causalConv({ x, weight, bias: null, halo }, { resets, activation: 'silu' }),
    );
    tape.backward([result], [fromArray(device, randomNormal(T * D, 3), [1, T, D])]);
    const tail = (all: Float64Array) => all.subarray(start * D);
    const found = [tail(await result.readNumbers()), tail(await x.gradient.readNumbers())];
    device.close();
    return found;
  };
  const found = await run(Number.NaN);
  assert.ok(found.every((values) => values.every(Number.isFinite)));
  assert.equal(found, await run(1));
});

test('shapes that do not fit are refused', () => {
  const device = openCpuDevice();
  const x = empty(device, [2, 3, 4]);
  const weight = empty(device, [4, 3]);
  const none = { bias: null, halo: null };
  assert.throws(() => causalConv({ x, weight: x, ...none }, { resets: null }), /E-SHAPE.*weight.*\[4, \*\]/s);
  assert.throws(
    () => causalConv({ x, weight, bias: null, halo: x }, { resets: null }),
    /E-SHAPE.*halo.*\[2, 2, 4\]/s,
  );
  assert.throws(
    () => causalConv({ x, weight, ...none }, { resets: null, unitHeads: { size: 3 } }),
    /E-SHAPE.*\[2, 3, 4\]/s,
  );
  device.close();
});

test.run();
