import { test } from 'uvu';
import { openCpuDevice } from '../../device.js';
import { fromArray } from '../../tensor.js';
import { expectClose, randomNormal } from '../../testing/index.js';
import { applyTransition } from './index.js';
import { transitionReference } from './reference.js';

const shapes = [
  [1, 1, 1, 1],
  [2, 3, 5, 7],
  [1, 2, 64, 33],
] as const;

for (const shape of shapes) {
  for (const kind of ['identity', 'scalar', 'diagonal'] as const) {
    test(`transition ~> ${kind} on [${shape}], NaN behind a reset, in place, by blocks`, async () => {
      const [B, H, V, K] = shape;
      const size = B * H * V * K;
      const device = openCpuDevice({ poison: true });
      const factorShape = kind === 'scalar' ? [B, H] : [B, H, K];
      const factor = kind === 'identity' ? null : randomNormal(kind === 'scalar' ? B * H : B * H * K, 1);
      for (const reset of [null, Float64Array.from({ length: B }, (_, b) => (b + 1) % 2)]) {
        const E = randomNormal(size, 2);
        const S = randomNormal(size, 3);
        if (reset) for (let i = 0; i < size; i++) if (reset[Math.floor(i / (H * V * K))]) S[i] = Number.NaN;
        const tensors = {
          factor: factor && fromArray(device, factor, factorShape, 'f64'),
          reset: reset && fromArray(device, reset, [B], 'f64'),
        };
        const state = fromArray(device, S, shape, 'f64');
        const added = fromArray(device, E, shape, 'f64');
        const rows = B * H * V;
        const cut = Math.floor(rows / 3);
        for (const range of [
          { begin: 0, end: cut },
          { begin: cut, end: rows },
        ]) {
          applyTransition(tensors, added, state, state, range, device.compute);
        }
        const expected = transitionReference([B, H, V, K], factor, reset, E, S);
        expectClose('state', await state.readNumbers(), expected, 1e-15);
      }
      device.close();
    });
  }
}

test.run();
