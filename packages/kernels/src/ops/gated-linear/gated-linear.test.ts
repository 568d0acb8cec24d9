import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openShapeDevice } from '../../device.js';
import type { RecurrenceOp } from '../../recurrence-op.js';
import { empty } from '../../tensor.js';
import { checkRecurrence, randomNormal, randomUniform, tolerances } from '../../testing/index.js';
import { type DecayKind, type GatedLinearInputs, gatedLinear } from './index.js';

interface Case {
  readonly B: number;
  readonly T: number;
  readonly H: number;
  /** Groups of heads that share q and k; default H. */
  readonly G?: number;
  readonly K: number;
  readonly V: number;
  /** Range of the log decays. */
  readonly gates: readonly [number, number];
  /** Tokens at which a document starts, in every batch row b shifted by b. */
  readonly starts?: readonly number[];
}

const cases: readonly Case[] = [
  { B: 1, T: 1, H: 1, K: 1, V: 1, gates: [-1, 0] },
  { B: 2, T: 63, H: 3, K: 5, V: 19, gates: [-0.5, 0] },
  { B: 1, T: 600, H: 1, K: 16, V: 33, gates: [-1e-3, -1e-4] },
  { B: 1, T: 129, H: 1, K: 33, V: 8, gates: [-20, -1e-4] },
  { B: 2, T: 150, H: 2, K: 8, V: 16, gates: [-1, 0], starts: [0, 1, 2, 31, 64, 100, 147] },
  { B: 2, T: 37, H: 6, G: 2, K: 3, V: 5, gates: [-1, 0], starts: [20] },
  { B: 1, T: 70, H: 1, K: 17, V: 64, gates: [-1e-3, 0], starts: [35] },
];

interface Kind {
  readonly decay: DecayKind;
  readonly decayOn?: 'key' | 'value';
  readonly read?: 'exclusive';
}

const kinds: readonly Kind[] = [
  { decay: 'identity' },
  { decay: 'fixed-scalar' },
  { decay: 'scalar' },
  { decay: 'diagonal' },
  { decay: 'diagonal', decayOn: 'value' },
  { decay: 'diagonal', read: 'exclusive' },
  { decay: 'scalar', read: 'exclusive' },
];

function opOf({ decay, decayOn, read }: Kind): RecurrenceOp<GatedLinearInputs> {
  return read ? gatedLinear(decay, { read }) : gatedLinear(decay, decayOn ? { decayOn } : {});
}

function shapeOfGates({ decay, decayOn }: Kind, { B, T, H, K, V }: Case): number[] {
  if (decay === 'fixed-scalar') return [H];
  return decay === 'scalar' ? [B, T, H] : [B, T, H, decayOn === 'value' ? V : K];
}

function resetsOf({ B, T, starts }: Case): Int32Array | null {
  if (!starts) return null;
  const resets = new Int32Array(B * T);
  for (let b = 0; b < B; b++) for (const t of starts) resets[b * T + Math.min(t + b, T - 1)] = 1;
  return resets;
}

function normal(shape: readonly number[], seed: number, role: 'token' | 'shared' = 'token') {
  const size = shape.reduce((a, b) => a * b, 1);
  return { values: randomNormal(size, seed), shape, role };
}

for (const kind of kinds) {
  for (const [i, shape] of cases.entries()) {
    const { B, T, H, G = H, K, V, gates } = shape;
    if (kind.decayOn === 'value' && G !== H) continue;
    const op = opOf(kind);
    const name = `${op.name} B=${B} T=${T} H=${H} G=${G} K=${K} V=${V} gates ${gates}${shape.starts ? ', packed' : ''}`;
    test(name, () => {
      const gateShape = shapeOfGates(kind, shape);
      const values = randomUniform(
        gateShape.reduce((a, b) => a * b, 1),
        4 + i,
        ...gates,
      );
      const role = kind.decay === 'fixed-scalar' ? 'fixed' : 'token';
      return checkRecurrence<GatedLinearInputs>({
        name,
        op,
        inputs: {
          q: normal([B, T, G, K], 1 + i),
          k: normal([B, T, G, K], 2 + i),
          v: normal([B, T, H, V], 3 + i),
          g: kind.decay === 'identity' ? null : { values, shape: gateShape, role },
          ...(kind.read && { u: normal([H, K], 6 + i, 'shared') }),
        },
        resets: resetsOf(shape),
        f32Tolerance: tolerances.f32Decay,
        maxElements: T > 500 ? 3 : 8,
      });
    });
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
