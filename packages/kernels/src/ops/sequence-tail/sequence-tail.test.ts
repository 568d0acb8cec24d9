import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { forwardCall } from '../../autograd/define-op.js';
import { openCpuDevice } from '../../device.js';
import { fromArray } from '../../tensor.js';
import { randomNormal } from '../../testing/index.js';
import { addTailGradient, sequenceTail } from './index.js';
import { tailPositions } from './reference.js';

const D = 3;

for (const [T, R, starts] of [
  [1, 1, null],
  [5, 3, null],
  [5, 3, [[], [3, 0]]],
  [5, 3, [[4], [1]]],
  [2, 5, null],
  [2, 5, [[1], []]],
  [2, 5, [[0], [0, 1]]],
] as const) {
  for (const withHalo of [true, false]) {
    const B = starts?.length ?? 2;
    const flags = starts?.map((tokens) =>
      Array.from({ length: T }, (_, t) => Number(tokens.includes(t as never))),
    );
    const places = Array.from({ length: B }, (_, b) => tailPositions(T, R, flags?.[b] ?? null));

    test(`${R} rows after ${T} tokens, documents from ${JSON.stringify(starts)}, ${withHalo ? 'halo' : 'zeros'}`, async () => {
      const device = openCpuDevice({ poison: true });
      const call = forwardCall(device);
      const x = randomNormal(B * T * D, 1);
      const halo = randomNormal(B * R * D, 2);
      const resets = flags ? fromArray(device, flags.flat(), [B, T], 'i32') : null;
      for (const dtype of ['f32', 'f64'] as const) {
        const tensors = {
          x: fromArray(device, x, [B, T, D], dtype),
          halo: withHalo ? fromArray(device, halo, [B, R, D], dtype) : null,
          resets,
        };
        const round = dtype === 'f32' ? Math.fround : (value: number) => value;
        const tail = sequenceTail(call, tensors, R);
        const expected = places.flatMap((rows, b) =>
          rows.flatMap((position) =>
            Array.from({ length: D }, (_, d) => {
              if (position === null || (position < 0 && !withHalo)) return 0;
              return round(
                position >= 0 ? x[(b * T + position) * D + d]! : halo[(b * R + R + position) * D + d]!,
              );
            }),
          ),
        );
        assert.equal([...(await tail.readNumbers())], expected);

        const gradient = Float64Array.from({ length: B * R * D }, (_, i) => i + 1);
        addTailGradient(call, tensors, fromArray(device, gradient, [B, R, D], dtype));
        const [dx, dHalo] = [x.map(round), halo.map(round)];
        places.forEach((rows, b) => {
          rows.forEach((position, row) => {
            for (let d = 0; d < D; d++) {
              const [target, index] =
                position !== null && position >= 0
                  ? [dx, (b * T + position) * D + d]
                  : [dHalo, (b * R + R + (position ?? 0)) * D + d];
              if (position !== null) target[index] = round(target[index]! + gradient[(b * R + row) * D + d]!);
            }
          });
        });
        assert.equal(await tensors.x.readNumbers(), dx);
        if (tensors.halo !== null) assert.equal(await tensors.halo.readNumbers(), dHalo);
      }
      device.close();
    });
  }
}

test('what lies before the last document leaves no trace, NaN included', async () => {
  const device = openCpuDevice({ poison: true });
  const x = fromArray(device, [Number.NaN, 2], [1, 2, 1]);
  const halo = fromArray(device, [Number.NaN, Number.NaN, Number.NaN], [1, 3, 1]);
  const resets = fromArray(device, [0, 1], [1, 2], 'i32');
  const tail = sequenceTail(forwardCall(device), { x, halo, resets }, 3);
  assert.equal([...(await tail.read())], [0, 0, 2]);
  device.close();
});

test.run();
