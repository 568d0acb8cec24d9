import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fromArray } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import { expectClose, randomNormal, tolerances } from '../../testing/index.js';
import { applyTransition, composeTransitions } from './index.js';
import { addLogMaxRows, checkApply, kinds, type Shape, shapes } from './problem.js';

const large: Shape = [2, 4, 96, 128];

for (const shape of [...shapes, large]) {
  for (const kind of kinds) {
    for (const transposed of kind === 'log-max' ? [false] : [false, true]) {
      const name = `${kind}${transposed ? ' transposed' : ''} on [${shape}]`;
      testOnGpu(`transition ~> ${name}, NaN behind a reset, in place, by blocks`, (device) =>
        checkApply(device, kind, shape, transposed, 'f32', tolerances.f32),
      );
    }
  }
}

for (const kind of kinds) {
  testOnGpu(`transition ~> ${kind}, at memory that is aligned to one number only`, (device) =>
    checkApply(device, kind, [2, 3, 5, 8], false, 'f32', tolerances.f32, 1),
  );
}

testOnGpu('transition ~> log-max: empty rows stay empty, and take no part in a sum', async (device) => {
  const empty = [0, 0, Number.NEGATIVE_INFINITY];
  const full = [2, -3, 700];
  assert.equal(await addLogMaxRows(device, empty, empty), empty);
  assert.equal(await addLogMaxRows(device, full, empty), full);
  assert.equal(await addLogMaxRows(device, empty, full), [2, -3, 699]);
});

for (const transposed of [false, true]) {
  testOnGpu(
    `transition ~> composed dense segments${transposed ? ', transposed,' : ''} act as one after the other`,
    async (device) => {
      const [B, H, R, N] = [2, 3, 40, 72];
      const segment = (seed: number) =>
        ({
          kind: 'dense',
          transposed,
          state: fromArray(device, randomNormal(B * H * R * N, seed), [B, H, R, N]),
          factor: fromArray(device, randomNormal(B * H * N * N, seed + 1, 0.1), [B, H, N, N]),
          reset: null,
        }) as const;
      const [first, second] = [segment(1), segment(5)];
      const rows = { begin: 0, end: B * H * R };
      const [stepwise, atOnce] = [9, 9].map((seed) =>
        fromArray(device, randomNormal(B * H * R * N, seed), [B, H, R, N]),
      ) as [typeof first.state, typeof first.state];
      applyTransition(first, stepwise, stepwise, rows, device.compute);
      applyTransition(second, stepwise, stepwise, rows, device.compute);
      applyTransition(
        composeTransitions(first, second, device.compute),
        atOnce,
        atOnce,
        rows,
        device.compute,
      );
      expectClose('composed', await atOnce.readNumbers(), await stepwise.readNumbers(), tolerances.f32);
    },
  );
}

test.run();
