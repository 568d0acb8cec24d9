import { type Communicator, empty, fill, fromArray, type Tensor } from '@longscan/kernels';
import type { CollectiveCase } from '../../protocol/collectives.js';
import { expectValues } from './expect-values.js';
import { callsFor, describeCase, type MeasuredCase } from './measured-case.js';
import { patternOf, summedPattern } from './pattern.js';

const alone = {
  ...{ link: null, strategy: null, blocks: null, ranksPerNode: null },
  ...{ transition: null, transitionBytes: null, stateRows: null },
} as const;

/** A collective as calls on tensors; `output` is spoilt before each sample. */
interface Verb {
  readonly op: 'all-gather' | 'reduce-scatter';
  readonly input: Float32Array;
  readonly expected: Float32Array;
  call(input: Tensor, output: Tensor): void;
}

/** Sizes are rounded up to the same number of whole elements for every rank. */
function shareOf({ size }: Communicator, bytes: number): number {
  return Math.ceil(bytes / 4 / size);
}

export function allGatherCase(group: Communicator, bytes: number): MeasuredCase {
  const share = shareOf(group, bytes);
  const shares = Array.from({ length: group.size }, (_, rank) => patternOf(rank, share));
  const expected = new Float32Array(group.size * share);
  for (const [rank, values] of shares.entries()) expected.set(values, rank * share);
  return verbCase(group, {
    ...{ op: 'all-gather', input: shares[group.rank]!, expected },
    call: (input, output) => group.allGather(input, output),
  });
}

export function reduceScatterCase(group: Communicator, bytes: number): MeasuredCase {
  const share = shareOf(group, bytes);
  return verbCase(group, {
    ...{ op: 'reduce-scatter', input: patternOf(group.rank, group.size * share) },
    expected: summedPattern(group.size, share, group.rank * share),
    call: (input, output) => group.reduceScatter(input, output),
  });
}

function verbCase(group: Communicator, { op, input, expected, call }: Verb): MeasuredCase {
  const { device } = group.stream;
  const bytes = 4 * Math.max(input.length, expected.length);
  const what: CollectiveCase = { op, bytes, ...alone };
  const numCalls = callsFor(bytes);
  const [given, result] = [fromArray(device, input, [input.length]), empty(device, [expected.length])];
  return {
    ...{ what, numCalls, numOps: numCalls, isTimed: true },
    prepare: () => fill(result, Number.NaN),
    enqueue(start) {
      start();
      for (let i = 0; i < numCalls; i++) call(given, result);
    },
    check: () => expectValues(describeCase(what, group), result, group.stream, expected),
    release() {
      given.release();
      result.release();
    },
  };
}

/** Every call sums what the one before has left, so values grow by the number of ranks: at most to 2^100. */
export function allReduceCase(group: Communicator, bytes: number): MeasuredCase {
  const { size, rank, stream } = group;
  const what: CollectiveCase = { op: 'all-reduce', bytes, ...alone };
  const numCalls = callsFor(bytes, Math.floor(100 / Math.log2(size)));
  const input = patternOf(rank, bytes / 4);
  const growth = size ** (numCalls - 1);
  const expected = summedPattern(size, bytes / 4).map((sum) => sum * growth);
  const tensor = fromArray(stream.device, input, [input.length]);
  // Powers of two stay exact, others round once a call and rank.
  const tolerance = Number.isInteger(Math.log2(size)) ? 0 : numCalls * size * 2 ** -24;
  return {
    ...{ what, numCalls, numOps: numCalls, isTimed: true },
    prepare: () => tensor.write(input),
    enqueue(start) {
      start();
      for (let i = 0; i < numCalls; i++) group.allReduce(tensor);
    },
    check: () => expectValues(describeCase(what, group), tensor, stream, expected, tolerance),
    release: () => tensor.release(),
  };
}
