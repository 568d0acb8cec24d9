import { expectClose, randomNormal, sliceTokens, tolerances } from '@longscan/kernels/testing';
import type { Strategy } from '../../strategy.js';
import { supportsTransition } from '../../strategy-support.js';
import { type Check, demand } from '../check.js';
import { createProblem, type Problem } from './problem.js';
import { type Placement, runAlone, runLayer } from './run-layer.js';
import { isFixed, transitionsOf } from './transitions.js';
import type { Variant } from './variant.js';

const T = 48;
/** A document of one token, one that begins at the edge of a slice, one that lies on three ranks, one at the very start. */
const starts = [
  [5, 6, 16, 40],
  [0, 3, 46],
];
const evenCut = [16, 16, 16];
const unevenCut = [20, 7, 21];

interface Document {
  readonly b: number;
  readonly begin: number;
  readonly end: number;
}

/** By row of the batch. */
const rows: readonly (readonly Document[])[] = starts.map((tokens, b) => {
  const edges = [...new Set([0, ...tokens, T])];
  return edges.slice(1).map((end, i) => ({ b, begin: edges[i]!, end }));
});

/** A document and what it is changed to. */
interface Change extends Document {
  readonly content: 'NaN' | 'other values';
}

/** What one run changes: a document of each row, so that few runs change every document to either content. */
const runs: readonly (readonly Change[])[] = Array.from(
  { length: Math.max(...rows.map(({ length }) => length)) },
  (_, i) =>
    [0, 1].map((odd) =>
      rows.map((documents, b) => ({
        ...documents[i % documents.length]!,
        content: b % 2 === odd ? ('NaN' as const) : ('other values' as const),
      })),
    ),
).flat();

/** Packed documents know nothing of each other, forward or backward. */
export function documentChecks(variant: Variant, strategies: readonly Strategy[]): Check[] {
  const kinds = transitionsOf(variant);
  const cuts = isFixed(kinds) || variant.layer.sliceMultiple ? [evenCut] : [evenCut, unevenCut];
  const able = strategies.filter((strategy) =>
    [...kinds].every((kind) => supportsTransition(strategy, kind)),
  );
  const alone = { lengths: [T], strategy: null };
  const single = createProblem(variant, { T, dtype: 'f32', starts });
  return [
    {
      name: 'a document in a pack = the document alone',
      run: () => checkAlone(createProblem(variant, { T, starts })),
    },
    isolationCheck(createProblem(variant, { T, starts }), '1 rank, f64', [alone]),
    isolationCheck(single, '1 rank', [alone]),
    ...able.map((strategy) => {
      const placements = cuts.map((lengths) => ({ lengths, strategy }));
      return isolationCheck(single, `3 ranks under ${strategy.name}`, placements);
    }),
  ];
}

/** The same for a layer that reads in both directions: what lies before and after a document. */
export function bothSidesDocumentChecks(variant: Variant, strategy: Strategy): Check[] {
  const problem = createProblem(variant, { T, starts, bidirectional: true });
  const single = createProblem(variant, { T, dtype: 'f32', starts, bidirectional: true });
  return [
    { name: 'a document in a pack = the document alone', run: () => checkAlone(problem) },
    isolationCheck(single, '1 rank', [{ lengths: [T], strategy: null }]),
    isolationCheck(single, `3 ranks under ${strategy.name}`, [{ lengths: evenCut, strategy }]),
  ];
}

function isolationCheck(problem: Problem, where: string, placements: readonly Placement[]): Check {
  return {
    name: `a document of NaN or of other values changes no other, to the bit: ${where}`,
    run: async () => {
      for (const placement of placements) await checkIsolation(problem, placement);
    },
  };
}

async function checkIsolation(problem: Problem, placement: Placement): Promise<void> {
  const before = await runLayer(problem, placement);
  for (const changes of runs) {
    const after = await runLayer(withChanges(problem, changes), placement);
    const changed = changes.map(
      ({ b, begin, end, content }) => `row ${b}, tokens ${begin} to ${end - 1} changed to ${content}`,
    );
    const where = `slices of ${placement.lengths}: ${changed.join('; ')}`;
    expectSameOutside(`${where}: output`, problem, changes, after.output, before.output);
    expectSameOutside(`${where}: gradient of x`, problem, changes, after.inputGradient, before.inputGradient);
  }
}

function withChanges(problem: Problem, changes: readonly Change[]): Problem {
  const D = problem.variant.dModel;
  const x = problem.x.slice();
  for (const { b, begin, end, content } of changes) {
    const size = (end - begin) * D;
    const values = content === 'NaN' ? new Float64Array(size).fill(Number.NaN) : randomNormal(size, 50, 3);
    x.set(values, (b * T + begin) * D);
  }
  return { ...problem, x };
}

function expectSameOutside(
  where: string,
  { variant }: Problem,
  changes: readonly Document[],
  found: Float64Array,
  expected: Float64Array,
): void {
  const isChanged = (token: number) =>
    changes.some(({ b, begin, end }) => token >= b * T + begin && token < b * T + end);
  const wrong = expected.findIndex(
    (value, i) => found[i] !== value && !isChanged(Math.floor(i / variant.dModel)),
  );
  const token = Math.floor(wrong / variant.dModel);
  demand(
    wrong < 0,
    `${where} of row ${Math.floor(token / T)}, token ${token % T} becomes ${found[wrong]}, was ${expected[wrong]}`,
  );
}

async function checkAlone(packed: Problem): Promise<void> {
  const { output, inputGradient } = await runAlone(packed);
  for (const { b, begin, end } of rows.flat()) {
    const cut = (values: Float64Array) => {
      const row = sliceTokens(values, packed, begin, end - begin);
      return row.slice((row.length / packed.B) * b, (row.length / packed.B) * (b + 1));
    };
    const single = {
      ...packed,
      B: 1,
      T: end - begin,
      x: cut(packed.x),
      outputGradient: cut(packed.outputGradient),
    };
    const run = await runAlone({ ...single, resets: null });
    const where = `row ${b}, tokens ${begin} to ${end - 1}`;
    expectClose(`${where}: output`, cut(output), run.output, tolerances.f64);
    expectClose(`${where}: gradient of x`, cut(inputGradient), run.inputGradient, tolerances.f64);
  }
}
