import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openShapeDevice } from '../../device.js';
import { empty } from '../../tensor.js';
import { checkRecurrence, tolerances } from '../../testing/index.js';
import { gatedLinear } from './index.js';
import { type Case, type Kind, problem } from './problem.js';

const cases: readonly Case[] = [
  { B: 1, T: 1, H: 1, K: 1, V: 1, gates: [-1, 0] },
  { B: 2, T: 63, H: 3, K: 5, V: 19, gates: [-0.5, 0] },
  { B: 1, T: 600, H: 1, K: 16, V: 33, gates: [-1e-3, -1e-4] },
  { B: 1, T: 129, H: 1, K: 33, V: 8, gates: [-20, -1e-4] },
  { B: 2, T: 150, H: 2, K: 8, V: 16, gates: [-1, 0], starts: [0, 1, 2, 31, 64, 100, 147] },
  { B: 2, T: 37, H: 6, G: 2, K: 3, V: 5, gates: [-1, 0], starts: [20] },
  { B: 1, T: 70, H: 1, K: 17, V: 64, gates: [-1e-3, 0], starts: [35] },
];

const kinds: readonly Kind[] = [
  { decay: 'identity' },
  { decay: 'fixed-scalar' },
  { decay: 'scalar' },
  { decay: 'diagonal' },
  { decay: 'diagonal', decayOn: 'value' },
  { decay: 'diagonal', read: 'exclusive' },
  { decay: 'scalar', read: 'exclusive' },
];

for (const kind of kinds) {
  for (const [i, shape] of cases.entries()) {
    if (kind.decayOn === 'value' && (shape.G ?? shape.H) !== shape.H) continue;
    const check = problem(kind, shape, i);
    const maxElements = shape.T > 500 ? 3 : 8;
    test(check.name, () => checkRecurrence({ ...check, f32Tolerance: tolerances.f32Decay, maxElements }));
  }
}

test('groups that do not divide the heads are refused', () => {
  const device = openShapeDevice();
  const [v, q] = [empty(device, [1, 2, 3, 4]), empty(device, [1, 2, 2, 4])];
  const inputs = { q, k: q, v, g: null };
  assert.throws(() => gatedLinear('identity').stateShape(inputs), /E-SHAPE.*q has shape \[1, 2, 2, 4\]/s);
  const one = empty(device, [1, 2, 1, 4]);
  const slots = { q: one, k: one, v, g: v };
  assert.throws(() => gatedLinear('diagonal', { decayOn: 'value' }).stateShape(slots), /E-SHAPE/);
});

test.run();
