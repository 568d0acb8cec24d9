import { type Device, fromArray, type Tensor, zeros } from '@longscan/kernels';
import { placeTokens, randomNormal, sliceTokens } from '@longscan/kernels/testing';
import type { AttentionStrategy } from '../../attention-strategy.js';
import type { SequenceAttentionInputs, SequenceAttentionOptions } from '../../sequence/attend-alone.js';
import { sequenceAttention } from '../../sequence/attention.js';
import { positionsOf } from '../../sequence/positions.js';
import { ReceivedLog } from '../../sequence/received.js';
import { type SliceRange, slicesOf } from '../../sequence/slice-group.js';
import { type Engine, type RankSet, withRanks } from '../rank-set.js';

/** Sequences that lie on ranks in slices of these lengths, in f64. */
export interface AttentionCase {
  readonly lengths: readonly number[];
  readonly options?: SequenceAttentionOptions;
  /** Tokens at which documents start, by sequence; none: one document. */
  readonly starts?: readonly (readonly number[])[];
  readonly engine?: Engine;
  /** Tokens of the first sequence that hold NaN, in all inputs and in the gradient that comes back. */
  readonly poisoned?: SliceRange;
  /** Default: heads that any number of ranks divides. */
  readonly heads?: { readonly H: number; readonly G: number };
}

export const sizes = { B: 2, K: 6, V: 5, elementBytes: 8 } as const;

export function headsOf({ heads, lengths }: AttentionCase): { H: number; G: number } {
  return heads ?? { H: 2 * lengths.length, G: lengths.length };
}

type Name = 'q' | 'k' | 'v' | 'o';

/** Output and gradients of whole sequences, and what each rank sent. */
export interface AttentionRun {
  readonly values: Readonly<Record<Name, Float64Array>>;
  readonly sentForward: readonly number[];
  readonly sentBackward: readonly number[];
}

/** One rank's part of a case, on its device. */
export interface RankProblem {
  readonly inputs: SequenceAttentionInputs;
  readonly dO: Tensor;
  /** The forward pass; with a log, what comes from other ranks is kept in it or taken from it. */
  forward(log?: ReceivedLog, replay?: boolean): Tensor;
}

/** Strategy null: the whole sequence on one rank. `replay`: the pass with a tape is a second one that receives nothing. */
export function runCase(
  problem: AttentionCase,
  strategy: AttentionStrategy | null,
  replay = false,
): Promise<AttentionRun> {
  const T = totalOf(problem);
  const onRanks = strategy === null ? { ...problem, heads: headsOf(problem), lengths: [T] } : problem;
  const body = async (ranks: RankSet) => {
    const sent = () => ranks.communicators.map((communicator) => communicator.bytesSent());
    const passes = ranks.devices.map((device, rank) => {
      const one = rankProblem(onRanks, strategy, ranks, rank);
      const log = new ReceivedLog();
      if (replay) device.withoutTape(() => device.scope(() => one.forward(log)));
      const recorded = device.record(() => device.scope(() => one.forward(log, replay)));
      return { ...one, log, output: recorded.result, tape: recorded.tape };
    });
    await ranks.sync();
    const sentForward = sent();
    for (const { output, dO, tape, log } of passes) {
      tape.backward([output], [dO]);
      log.release();
    }
    await ranks.sync();
    const sentBackward = sent().map((bytes, rank) => bytes - sentForward[rank]!);
    const { H, G } = headsOf(onRanks);
    const widths = { q: H * sizes.K, k: G * sizes.K, v: G * sizes.V, o: H * sizes.V };
    const values = Object.fromEntries(
      Object.entries(widths).map(([name, width]) => [name, new Float64Array(sizes.B * T * width)]),
    ) as Record<Name, Float64Array>;
    for (const [rank, { start }] of slicesOf(onRanks.lengths).entries()) {
      const { inputs, output } = passes[rank]!;
      placeTokens(values.o, { B: sizes.B, T }, start, await output.readNumbers());
      for (const name of ['q', 'k', 'v'] as const) {
        placeTokens(values[name], { B: sizes.B, T }, start, await inputs[name].gradient!.readNumbers());
      }
    }
    return { values, sentForward, sentBackward };
  };
  return withRanks(onRanks.lengths.length, body, { engine: problem.engine ?? 'in-process' });
}

export function rankProblem(
  problem: AttentionCase,
  strategy: AttentionStrategy | null,
  { devices, communicators }: RankSet,
  rank: number,
): RankProblem {
  const { lengths, options = {}, starts, poisoned = { start: 0, length: 0 } } = problem;
  const { B, K, V } = sizes;
  const T = totalOf(problem);
  const { H, G } = headsOf(problem);
  const device = devices[rank]!;
  const slices = slicesOf(lengths);
  const { start, length } = slices[rank]!;
  const part = (seed: number, row: readonly number[]) => {
    const rowSize = row.reduce((size, dim) => size * dim, 1);
    const host = randomNormal(B * T * rowSize, seed);
    host.fill(Number.NaN, poisoned.start * rowSize, (poisoned.start + poisoned.length) * rowSize);
    return fromArray(device, sliceTokens(host, { B, T }, start, length), [B, length, ...row], 'f64');
  };
  const inputs = {
    q: asLeaf(device, part(1, [H, K])),
    k: asLeaf(device, part(2, [G, K])),
    v: asLeaf(device, part(3, [G, V])),
  };
  const group = { communicator: communicators[rank]!, slices };
  const documents = starts ? documentsOf(device, starts, T, start, length) : null;
  return {
    inputs,
    dO: part(4, [H, V]),
    forward(log, replay = false) {
      const positions = documents && positionsOf(inputs.q, group, documents);
      const received = replay ? log?.replay() : log?.record();
      const place = { group: strategy && { ...group, attention: strategy }, positions };
      return sequenceAttention(inputs, options, { ...place, ...(received && { received }) });
    },
  };
}

export function totalOf({ lengths }: AttentionCase): number {
  return lengths.reduce((sum, length) => sum + length, 0);
}

function asLeaf(device: Device, tensor: Tensor): Tensor {
  tensor.requiresGrad = true;
  tensor.gradient = zeros(device, tensor.shape, tensor.dtype);
  return tensor;
}

/** Where documents start in a slice, and how much of the one that is open at its start lies before it. */
function documentsOf(
  device: Device,
  starts: readonly (readonly number[])[],
  T: number,
  start: number,
  length: number,
) {
  const B = starts.length;
  const flags = new Int32Array(B * T);
  for (const [b, tokens] of starts.entries()) for (const t of tokens) flags[b * T + t] = 1;
  const before = starts.map(
    (_, b) => start - Math.max(0, flags.subarray(b * T, b * T + start).lastIndexOf(1)),
  );
  return {
    resets: fromArray(device, sliceTokens(flags, { B, T }, start, length), [B, length], 'i32'),
    before: fromArray(device, before, [B], 'i32'),
  };
}

export function describe({ lengths, options = {}, starts, engine = 'in-process' }: AttentionCase): string {
  const packed = starts ? ', documents packed' : '';
  return `slices of ${lengths} ${JSON.stringify(options)}${packed}, ${engine}`;
}
