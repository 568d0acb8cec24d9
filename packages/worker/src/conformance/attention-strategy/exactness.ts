import { expectClose, tolerances } from '@longscan/kernels/testing';
import type { AttentionStrategy } from '../../attention-strategy.js';
import { slicesOf } from '../../sequence/slice-group.js';
import { type Check, demand } from '../check.js';
import { link } from '../strategy/scan.js';
import {
  type AttentionCase,
  type AttentionRun,
  describe,
  headsOf,
  runCase,
  sizes,
} from './attention-case.js';

/** Tokens of one sequence at a time, over an edge of slices, at one, and at the very end. */
const starts = [[6, 8, 17], [7]];

const cases: readonly AttentionCase[] = [
  { lengths: [9] },
  { lengths: [9], starts: [[4], []], options: { window: 3 } },
  { lengths: [9, 9] },
  { lengths: [8, 8], starts: [[3, 9], [15]] },
  { lengths: [5, 8], options: { scale: 0.7 } },
  { lengths: [9, 9], options: { window: 4 } },
  { lengths: [1, 1, 1] },
  { lengths: [70, 40, 33] },
  { lengths: [40, 40, 40], starts: [[3, 39, 41, 90], []] },
  { lengths: [70, 40, 33], options: { window: 50 } },
  { lengths: [8, 12, 6], options: { chunk: 4 } },
  { lengths: [8, 12, 6], options: { chunk: 4 }, starts },
  { lengths: [6, 6, 6, 6] },
  { lengths: [5, 1, 8, 4], starts },
  { lengths: [5, 1, 8, 4], options: { window: 1 } },
  { lengths: [5, 1, 8, 4], options: { window: 4 }, starts },
  { lengths: [5, 1, 8, 4], options: { window: 12 } },
  { lengths: [6, 6, 6, 6], options: { window: 8 } },
  { lengths: [4, 4, 8, 4], options: { chunk: 4 } },
  { lengths: [5, 1, 8, 4], starts, engine: 'tcp' },
  { lengths: [6, 6, 6, 6], options: { window: 8 }, engine: 'tcp' },
];

/** Output and gradients of one rank, and exactly the modelled bytes, however the sequence is cut. */
export function exactnessChecks(strategy: AttentionStrategy): Check[] {
  return cases.flatMap((problem) =>
    [false, true].map((replay) => ({
      name: `1 rank = P ranks, and sends the bytes of its cost: ${describe(problem)}${replay ? ', replayed' : ''}`,
      run: () => checkCase(strategy, problem, replay),
    })),
  );
}

async function checkCase(strategy: AttentionStrategy, problem: AttentionCase, replay: boolean) {
  const whole = await runCase(problem, null);
  const found = await runCase(problem, strategy, replay);
  for (const name of ['o', 'q', 'k', 'v'] as const) {
    expectClose(`${describe(problem)}: ${name}`, found.values[name], whole.values[name], tolerances.f64);
  }
  expectBytes(strategy, problem, found);
}

function expectBytes(strategy: AttentionStrategy, problem: AttentionCase, found: AttentionRun): void {
  const { B, K, V, elementBytes } = sizes;
  const { H, G } = headsOf(problem);
  const { window = null, chunk = null } = problem.options ?? {};
  const call = { numSequences: B, numHeads: H, numKeyHeads: G, keySize: K, valueSize: V, window, chunk };
  const packed = problem.starts !== undefined;
  const layout = { slices: slicesOf(problem.lengths), packed, units: null, elementBytes };
  const cost = strategy.cost(call, layout, link);
  const passes = [
    ['forward', found.sentForward, cost.bytesSentForward],
    ['backward', found.sentBackward, cost.bytesSentBackward],
  ] as const;
  for (const [pass, sent, promised] of passes) {
    const where = `${describe(problem)}, ${pass}`;
    demand(sent.join() === promised.join(), `${where}: ranks sent ${sent} bytes, the cost says ${promised}`);
  }
}
