import { test } from 'uvu';
import { runRecurrence } from '../../autograd/run-recurrence.js';
import { fromArray } from '../../tensor.js';
import { checkOp, randomNormal, randomUniform, tolerances } from '../../testing/index.js';
import { vectorScan } from './index.js';

interface Case {
  readonly B: number;
  readonly T: number;
  readonly C: number;
  /** Range of the log decays. */
  readonly gates: readonly [number, number];
  /** Tokens at which a document starts, in every batch row b shifted by b. */
  readonly starts?: readonly number[];
}

const cases: readonly Case[] = [
  { B: 1, T: 1, C: 1, gates: [-1, 0] },
  { B: 3, T: 63, C: 19, gates: [-0.5, 0] },
  { B: 1, T: 1000, C: 33, gates: [-1e-3, -1e-4] },
  { B: 2, T: 129, C: 65, gates: [-20, -1e-4] },
  { B: 2, T: 150, C: 17, gates: [-1, 0], starts: [0, 1, 2, 31, 64, 100, 147] },
];

for (const [i, { B, T, C, gates, starts }] of cases.entries()) {
  const name = `B=${B} T=${T} C=${C} gates ${gates}${starts ? ', packed' : ''}`;
  test(`vector-scan ~> ${name}`, async () => {
    const resets = starts ? new Int32Array(B * T) : null;
    for (let b = 0; b < B; b++) for (const t of starts ?? []) resets![b * T + Math.min(t + b, T - 1)] = 1;
    const shape = [B, T, C];
    await checkOp({
      name,
      inputs: {
        x: { values: randomNormal(B * T * C, 1 + i), shape },
        g: { values: randomUniform(B * T * C, 2 + i, ...gates), shape },
        h0: { values: randomNormal(B * C, 3 + i), shape: [B, C, 1, 1] },
      },
      op: ({ x, g, h0 }, device) => {
        const starting = resets && fromArray(device, resets, [B, T], 'i32');
        const { output, finalState } = runRecurrence(vectorScan, { x, g }, { resets: starting, h0 });
        return [output, finalState];
      },
      reference: ({ x, g, h0 }) => {
        const inputs = { x: { values: x, shape }, g: { values: g, shape } };
        const { output, finalState } = vectorScan.reference(inputs, resets, h0);
        return [output, finalState];
      },
      f32Tolerance: tolerances.f32Decay,
      maxElements: T > 500 ? 6 : 12,
    });
  });
}

test.run();
