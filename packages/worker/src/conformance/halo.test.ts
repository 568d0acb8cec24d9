import {
  type Communicator,
  causalConv,
  type Device,
  fromArray,
  type Tensor,
  tokenShift,
  zeros,
} from '@longscan/kernels';
import { expectClose, placeTokens, randomNormal, sliceTokens, tolerances } from '@longscan/kernels/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { withHalo } from '../sequence/halo.js';
import { live, type Received, ReceivedLog } from '../sequence/received.js';
import { slicesOf } from '../sequence/slice-group.js';
import { type Engine, withRanks } from './rank-set.js';

interface Case {
  readonly lengths: readonly number[];
  /** Taps of the convolution; null: a token shift. */
  readonly W: number | null;
  /** Document starts by sequence. */
  readonly starts?: readonly (readonly number[])[];
  readonly engine?: Engine;
}

const [B, D] = [2, 3];

const cases: readonly Case[] = [
  { lengths: [9, 9], W: 4 },
  { lengths: [9, 9], W: 1 },
  {
    lengths: [5, 3, 8, 4],
    W: 4,
    starts: [
      [6, 8],
      [5, 7, 16, 19],
    ],
  },
  { lengths: [7, 1, 2, 9], W: 6 },
  { lengths: [7, 1, 2, 9], W: 6, starts: [[8], [7, 9]] },
  { lengths: [1, 1, 1, 1], W: 4, starts: [[], [1]] },
  { lengths: [1, 1, 1, 1], W: 6 },
  { lengths: [4, 1, 6], W: null, starts: [[5], [0, 4]] },
  { lengths: [7, 1, 2, 9], W: 6, engine: 'tcp' },
];

interface Results {
  readonly output: Float64Array;
  readonly x: Float64Array;
  /** [D, W], summed over ranks; empty for a token shift. */
  readonly weight: Float64Array;
}

const tokensOf = ({ lengths }: Case): number => lengths.reduce((sum, length) => sum + length, 0);
const rowsOf = ({ W }: Case): number => (W === null ? 1 : W - 1);

/** A rank's place in the sequence. */
interface Place {
  readonly communicator: Communicator;
  readonly device: Device;
  readonly begin: number;
  readonly length: number;
}

/** Enqueues forward and backward of one rank; `replay`: those of a second pass, which receives nothing forward. */
function runRank(problem: Case, { communicator, device, begin, length }: Place, replay: boolean) {
  const { W, starts } = problem;
  const sizes = { B, T: tokensOf(problem) };
  const upload = (values: Float64Array) =>
    fromArray(device, sliceTokens(values, sizes, begin, length), [B, length, D], 'f64');
  const leaf = (tensor: Tensor) => {
    tensor.requiresGrad = true;
    tensor.gradient = zeros(device, tensor.shape, 'f64');
    return tensor;
  };
  const x = leaf(upload(randomNormal(B * sizes.T * D, 1)));
  const weight = leaf(fromArray(device, randomNormal(D * (W ?? 0), 2), [D, W ?? 0], 'f64'));
  const flags = new Int32Array(B * sizes.T);
  starts?.forEach((tokens, b) => {
    for (const t of tokens) flags[b * sizes.T + t] = 1;
  });
  const resets = starts
    ? fromArray(device, sliceTokens(flags, sizes, begin, length), [B, length], 'i32')
    : null;
  const forward = (received: Received): Tensor => {
    const slice = withHalo(x, rowsOf(problem), { group: { communicator }, resets, received });
    if (W === null) return tokenShift(slice, resets);
    return causalConv({ ...slice, weight, bias: null }, { resets, activation: 'silu' });
  };
  const log = new ReceivedLog();
  if (replay) device.withoutTape(() => device.scope(() => forward(log.record())));
  const { result: output, tape } = device.record(() =>
    device.scope(() => forward(replay ? log.replay() : live)),
  );
  tape.backward([output], [upload(randomNormal(B * sizes.T * D, 3))]);
  return { begin, communicator, x, weight, output };
}

/** The sequences on ranks; also checks that the halos and their gradients, and nothing else, were sent. */
function onRanks(problem: Case, replay: boolean): Promise<Results> {
  const { lengths, W, engine = 'in-process' } = problem;
  const sizes = { B, T: tokensOf(problem) };
  return withRanks(
    lengths.length,
    async ({ devices, communicators }) => {
      const ranks = slicesOf(lengths).map(({ start, length }, rank) => {
        const [communicator, device] = [communicators[rank]!, devices[rank]!];
        return runRank(problem, { communicator, device, begin: start, length }, replay);
      });
      const empty = () => new Float64Array(B * sizes.T * D);
      const results = { output: empty(), x: empty(), weight: new Float64Array(D * (W ?? 0)) };
      for (const { begin, communicator, x, weight, output } of ranks) {
        placeTokens(results.output, sizes, begin, await output.readNumbers());
        placeTokens(results.x, sizes, begin, await x.gradient!.readNumbers());
        const dWeight = await weight.gradient!.readNumbers();
        results.weight = results.weight.map((sum, i) => sum + dWeight[i]!);
        const { rank, size } = communicator;
        const numSends = Number(rank + 1 < size) + Number(rank > 0);
        assert.is(communicator.bytesSent(), numSends * B * rowsOf(problem) * D * 8, `bytes of rank ${rank}`);
      }
      return results;
    },
    { engine },
  );
}

for (const problem of cases) {
  const { lengths, W, starts, engine } = problem;
  const name = W === null ? 'token shift' : `convolution of width ${W}`;
  const label = `${name}, slices of ${lengths}${starts ? ', documents packed' : ''}${engine ? `, ${engine}` : ''}`;
  for (const replay of [false, true]) {
    test(`halo ~> ${label}${replay ? ', replayed' : ''}`, async () => {
      const whole = await onRanks({ W, lengths: [tokensOf(problem)], ...(starts && { starts }) }, false);
      const found = await onRanks(problem, replay);
      for (const key of ['output', 'x', 'weight'] as const) {
        expectClose(`${label}: ${key}`, found[key], whole[key], tolerances.f64);
      }
    });
  }
}

test.run();
