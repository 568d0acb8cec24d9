import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openCpuDevice } from '../../device.js';
import { fromArray } from '../../tensor.js';
import { tolerances } from '../../testing/index.js';
import { applyTransition, transitionWireElements } from './index.js';
import { addLogMaxRows, checkApply, checkCompose, kinds, shapes } from './problem.js';

for (const shape of shapes) {
  for (const kind of kinds) {
    for (const transposed of kind === 'log-max' ? [false] : [false, true]) {
      const name = `${kind}${transposed ? ' transposed' : ''} on [${shape}]`;
      test(`transition ~> ${name}, NaN behind a reset, in place, by blocks, every level`, async () => {
        const device = openCpuDevice({ poison: true });
        const best = device.native.cpuInfo().level;
        for (let level = best; level >= 0; level--) {
          device.native.cpuLimit(level);
          await checkApply(device, kind, shape, transposed, 'f64', 1e-14);
          await checkApply(device, kind, shape, transposed, 'f32', tolerances.f32);
        }
        device.native.cpuLimit(best);
        device.close();
      });
    }
  }
}

for (const kind of kinds) {
  for (const transposed of kind === 'log-max' ? [false] : [false, true]) {
    test(`transition ~> ${kind}${transposed ? ' transposed' : ''}: two runs as one`, async () => {
      const device = openCpuDevice({ poison: true });
      await checkCompose(device, kind, transposed);
      device.close();
    });
  }
}

test('transition ~> log-max: empty rows stay empty, and take no part in a sum', async () => {
  const device = openCpuDevice({ poison: true });
  const empty = [0, 0, Number.NEGATIVE_INFINITY];
  const full = [2, -3, 700];
  assert.equal(await addLogMaxRows(device, empty, empty), empty);
  assert.equal(await addLogMaxRows(device, full, empty), full);
  assert.equal(await addLogMaxRows(device, empty, full), [2, -3, 699]);
  device.close();
});

test('transition ~> an opaque segment is refused', () => {
  const device = openCpuDevice();
  const state = fromArray(device, [0], [1, 1, 1, 1]);
  assert.throws(
    () =>
      applyTransition(
        { kind: 'opaque', state, factor: null, reset: null },
        state,
        state,
        { begin: 0, end: 1 },
        device.compute,
      ),
    /error\[E-STRATEGY\]/,
  );
  assert.is(transitionWireElements('dense', 8), 64);
  device.close();
});

test.run();
