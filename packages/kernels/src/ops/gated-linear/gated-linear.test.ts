import { test } from 'uvu';
import { checkRecurrence, randomNormal, randomUniform, tolerances } from '../../testing/index.js';
import { type DecayKind, gatedLinear } from './index.js';

interface Case {
  readonly B: number;
  readonly T: number;
  readonly H: number;
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
  { B: 1, T: 1000, H: 2, K: 16, V: 33, gates: [-1e-3, -1e-4] },
  { B: 1, T: 129, H: 1, K: 33, V: 8, gates: [-20, -1e-4] },
  { B: 2, T: 150, H: 2, K: 8, V: 16, gates: [-1, 0], starts: [0, 1, 2, 31, 64, 100, 147] },
  { B: 1, T: 70, H: 1, K: 17, V: 64, gates: [-1e-3, 0], starts: [35] },
];

function shapeOfGates(decay: DecayKind, { B, T, H, K }: Case): number[] {
  return decay === 'fixed-scalar' ? [H] : decay === 'scalar' ? [B, T, H] : [B, T, H, K];
}

function resetsOf({ B, T, starts }: Case): Int32Array | undefined {
  if (!starts) return undefined;
  const resets = new Int32Array(B * T);
  for (let b = 0; b < B; b++) for (const t of starts) resets[b * T + Math.min(t + b, T - 1)] = 1;
  return resets;
}

for (const decay of ['identity', 'fixed-scalar', 'scalar', 'diagonal'] as const) {
  for (const [i, shape] of cases.entries()) {
    const { B, T, H, K, V, gates } = shape;
    const name = `${decay} B=${B} T=${T} H=${H} K=${K} V=${V} gates ${gates}${shape.starts ? ', packed' : ''}`;
    test(`gated-linear ~> ${name}`, async () => {
      const op = gatedLinear(decay);
      const resets = resetsOf(shape);
      const gateShape = shapeOfGates(decay, shape);
      const g = randomUniform(
        gateShape.reduce((a, b) => a * b, 1),
        4 + i,
        ...gates,
      );
      const role = decay === 'fixed-scalar' ? 'fixed' : 'token';
      await checkRecurrence({
        name,
        op,
        inputs: {
          q: { values: randomNormal(B * T * H * K, 1 + i), shape: [B, T, H, K], role: 'token' },
          k: { values: randomNormal(B * T * H * K, 2 + i), shape: [B, T, H, K], role: 'token' },
          v: { values: randomNormal(B * T * H * V, 3 + i), shape: [B, T, H, V], role: 'token' },
          g: decay === 'identity' ? null : { values: g, shape: gateShape, role },
        },
        resets: resets ?? null,
        f32Tolerance: tolerances.f32Decay,
        maxElements: T > 500 ? 6 : 12,
      });
    });
  }
}

test.run();
