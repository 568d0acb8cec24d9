import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { forwardCall } from '../../autograd/define-op.js';
import { type Device, openCpuDevice } from '../../device.js';
import { fromArray } from '../../tensor.js';
import { fromNumbers, roundedTo } from '../../testing/from-numbers.js';
import { testOnGpu } from '../../testing/gpu.js';
import { randomNormal } from '../../testing/index.js';
import { addTailGradient, sequenceTail } from './index.js';

const D = 6;
/** Small whole numbers, whose sums every type holds. */
const whole = (count: number, seed: number) => randomNormal(count, seed).map((x) => Math.round(4 * x));

for (const [T, R, starts] of [
  [1, 1, null],
  [70, 3, null],
  [5, 3, [[], [3, 0]]],
  [5, 3, [[4], [1]]],
  [2, 5, null],
  [2, 5, [[1], []]],
  [2, 5, [[0], [0, 1]]],
] as const) {
  const B = 2;
  const flags = starts?.flatMap((tokens) =>
    Array.from({ length: T }, (_, t) => Number(tokens.includes(t as never))),
  );

  /** The tail, and what the gradient of one leaves in x and in the halo. */
  const run = async (device: Device, dtype: 'f32' | 'f64' | 'bf16', withHalo: boolean) => {
    const call = forwardCall(device);
    const upload = (values: Float64Array, shape: number[]) => fromNumbers(device, values, shape, dtype);
    const x = upload(whole(B * T * D, 1), [B, T, D]);
    const halo = withHalo ? upload(whole(B * R * D, 2), [B, R, D]) : null;
    const sequence = { x, halo, resets: flags ? fromArray(device, flags, [B, T], 'i32') : null };
    const tail = await sequenceTail(call, sequence, R).readNumbers();
    addTailGradient(call, sequence, upload(whole(B * R * D, 3), [B, R, D]));
    return [tail, await x.readNumbers(), await halo?.readNumbers()];
  };

  testOnGpu(`${R} rows after ${T} tokens, documents from ${JSON.stringify(starts)}`, async (device) => {
    const cpu = openCpuDevice({ poison: true });
    for (const withHalo of [true, false]) {
      const exact = await run(cpu, 'f64', withHalo);
      for (const dtype of ['f32', 'bf16'] as const) {
        assert.equal(
          await run(device, dtype, withHalo),
          exact.map((values) => values && roundedTo(dtype, values)),
        );
      }
    }
    cpu.close();
  });
}

testOnGpu('what lies before the last document leaves no trace, NaN included', async (device) => {
  const x = fromArray(device, [Number.NaN, 2], [1, 2, 1]);
  const halo = fromArray(device, [Number.NaN, Number.NaN, Number.NaN], [1, 3, 1]);
  const resets = fromArray(device, [0, 1], [1, 2], 'i32');
  const tail = sequenceTail(forwardCall(device), { x, halo, resets }, 3);
  assert.equal([...(await tail.read())], [0, 0, 2]);
});

test.run();
