import {
  type Communicator,
  type Device,
  dtypeBytes,
  flip,
  fromArray,
  transitionWireElements,
} from '@longscan/kernels';
import { documentEnds, expectClose, placeTokens, sliceTokens, tolerances } from '@longscan/kernels/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { bidirectionalRecurrence } from '../sequence/bidirectional.js';
import type { SequenceGroup } from '../sequence/sequence-group.js';
import { slicesOf } from '../sequence/slice-group.js';
import type { Strategy } from '../strategy.js';
import { RankSet, usualNode, withRanks } from './rank-set.js';
import { fabricOf } from './strategy/scan.js';
import { bothDirections } from './testing/both-directions.js';
import { opOf, type RecurrenceCase, recurrenceCase, uploadSlice } from './testing/recurrence-case.js';
import { importUnits } from './unit-files.js';

const strategies = await importUnits<Strategy>(new URL('../sp/', import.meta.url));
const numSeeds = 8;
/** Longer sequences would take the double sum too long. */
const longest = 150;
const names = ['q', 'k', 'v', 'g'] as const;

/** Output, and gradients by input, of the whole sequence; null: there is none. */
type Results = Readonly<Record<'output' | (typeof names)[number], Float64Array | null>>;

function emptyResults({ kind, q, k, v, g }: RecurrenceCase): Results {
  const like = (values: Float64Array) => new Float64Array(values.length);
  return {
    ...{ output: like(v), q: like(q), k: like(k), v: like(v) },
    g: g === null || kind === 'fixed-scalar' ? null : like(g),
  };
}

/** One rank's slice, forward and backward. */
function runSlice(
  device: Device,
  problem: RecurrenceCase,
  group: SequenceGroup | null,
  begin: number,
  length: number,
) {
  const { B, T } = problem;
  const slice = uploadSlice(device, problem, begin, length);
  const flags = (values: Int32Array) =>
    fromArray(device, sliceTokens(values, problem, begin, length), [B, length], 'i32');
  const boundaries = problem.resets && {
    starts: flags(problem.resets),
    reversedEnds: flip(flags(documentEnds(problem.resets, T))),
  };
  const everyToken = flags(new Int32Array(B * T).fill(1));
  const { result: output, tape } = device.record(() =>
    device.scope(() =>
      bidirectionalRecurrence(opOf(problem), slice.inputs, { group, boundaries, everyToken }),
    ),
  );
  tape.backward([output], [slice.outputGradient]);
  return { begin, output, inputs: slice.inputs };
}

async function collect(
  problem: RecurrenceCase,
  slices: readonly ReturnType<typeof runSlice>[],
): Promise<Results> {
  const results = emptyResults(problem);
  for (const { begin, output, inputs } of slices) {
    placeTokens(results.output!, problem, begin, await output.readNumbers());
    for (const name of names) {
      if (results[name] === null) continue;
      placeTokens(results[name], problem, begin, await inputs[name]!.gradient!.readNumbers());
    }
  }
  return results;
}

async function onOneDevice(problem: RecurrenceCase): Promise<Results> {
  const ranks = await RankSet.open(1);
  try {
    return await collect(problem, [runSlice(ranks.devices[0]!, problem, null, 0, problem.T)]);
  } finally {
    ranks.close();
  }
}

/** The slices on ranks; also checks that what must be sent was sent, and nothing else. */
function onRanks(problem: RecurrenceCase, strategy: Strategy): Promise<Results> {
  const { lengths } = problem;
  return withRanks(lengths.length, async ({ devices, communicators }) => {
    const options = { blocks: 3, ranksPerNode: usualNode(lengths.length) };
    const ranges = slicesOf(lengths);
    const slices = communicators.map((communicator, rank) => {
      const group = { communicator, strategy, options, slices: ranges };
      const { start, length } = ranges[rank]!;
      return runSlice(devices[rank]!, problem, group, start, length);
    });
    const results = await collect(problem, slices);
    expectBytes(problem, strategy, communicators);
    return results;
  });
}

/** Two runs of two scans each, or, where order does not matter, one sum of states and one of their gradients. */
function expectBytes(
  { kind, dtype, B, H, K, V, resets, lengths }: RecurrenceCase,
  strategy: Strategy,
  communicators: readonly Communicator[],
): void {
  const numRanks = lengths.length;
  const state = dtypeBytes[dtype] * B * H * V * K;
  const transition = dtypeBytes[dtype] * (B * H * transitionWireElements(kind, K) + (resets ? B : 0));
  const fabric = fabricOf({ ranksPerNode: usualNode(numRanks) });
  const { bytesSentByRank } = strategy.cost(numRanks, { state, transition, rows: B * H * V }, fabric);
  for (const communicator of communicators) {
    const { rank } = communicator;
    const ofScans = 2 * (bytesSentByRank[rank]! + bytesSentByRank[numRanks - 1 - rank]!);
    const ofSums = 2 * (numRanks - 1) * state;
    const expected = kind === 'identity' && resets === null ? ofSums : ofScans;
    assert.is(communicator.bytesSent(), expected, `${strategy.name}: bytes of rank ${rank} of ${numRanks}`);
  }
}

/** Some elements of every gradient against central differences of the double sum. */
function expectGradients(where: string, problem: RecurrenceCase, found: Results): void {
  const step = 1e-6;
  const terms = (values: RecurrenceCase) =>
    bothDirections(problem, values).map((value, i) => value * problem.outputGradient[i]!);
  const loss = (values: RecurrenceCase) => terms(values).reduce((sum, term) => sum + term, 0);
  // What rounding of the loss alone does to a difference quotient.
  const size = terms(problem).reduce((sum, term) => sum + Math.abs(term), 0);
  const noise = (8 * Number.EPSILON * size) / step;
  for (const name of names) {
    const gradient = found[name];
    if (gradient === null) continue;
    const scale = gradient.reduce((largest, value) => Math.max(largest, Math.abs(value)), 1);
    for (const index of [0, 1, 2].map((i) => Math.floor(((i + 0.5) * gradient.length) / 3))) {
      const moved = (delta: number) =>
        loss({ ...problem, [name]: problem[name]!.map((value, i) => (i === index ? value + delta : value)) });
      const slope = (moved(step) - moved(-step)) / (2 * step);
      const error = Math.abs(gradient[index]! - slope);
      assert.ok(
        error <= tolerances.centralDifference * scale + noise,
        `${where}: gradient of ${name}[${index}] is ${gradient[index]}, by differences ${slope}`,
      );
    }
  }
}

for (const kind of ['identity', 'fixed-scalar', 'scalar', 'diagonal'] as const) {
  test(`both directions ~> ${kind}: the double sum, for random slices and documents, under every strategy`, async () => {
    let numRun = 0;
    for (let seed = 1; numRun < numSeeds; seed++) {
      const problem = recurrenceCase(kind, 'f64', 1000 * seed);
      const { B, T, H, K, V, lengths } = problem;
      if (T > longest || lengths.length > 4) continue;
      numRun++;
      const where = `seed ${seed}, slices of ${lengths}, B=${B} H=${H} K=${K} V=${V}`;
      const expected = await onOneDevice(problem);
      expectClose(`${where}: output`, expected.output!, bothDirections(problem, problem), tolerances.f64);
      expectGradients(where, problem, expected);
      for (const [name, strategy] of strategies) {
        const found = await onRanks(problem, strategy);
        for (const part of ['output', ...names] as const) {
          if (expected[part] === null) continue;
          expectClose(`${where}, ${name}: ${part}`, found[part]!, expected[part], tolerances.f64);
        }
      }
    }
  });
}

test.run();
