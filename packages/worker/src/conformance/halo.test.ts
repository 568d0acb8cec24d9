import { causalConv, fromArray, type Tensor, tokenShift, zeros } from '@longscan/kernels';
import { expectClose, placeTokens, randomNormal, sliceTokens, tolerances } from '@longscan/kernels/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { withHalo } from '../halo.js';
import { ReceivedLog } from '../received.js';
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

/** The sequences on ranks; `replay`: the pass whose gradients count is one that receives nothing forward. */
function onRanks({ lengths, W, starts, engine = 'in-process' }: Case, replay: boolean): Promise<Results> {
  const T = lengths.reduce((sum, length) => sum + length, 0);
  const numRows = W === null ? 1 : W - 1;
  const sizes = { B, T };
  const [x, dy] = [randomNormal(B * T * D, 1), randomNormal(B * T * D, 2)];
  const flags = starts && new Int32Array(B * T);
  starts?.forEach((tokens, b) => {
    for (const t of tokens) flags![b * T + t] = 1;
  });
  return withRanks(
    lengths.length,
    async ({ devices, communicators }) => {
      let end = 0;
      const slices = communicators.map((communicator, rank) => {
        const [device, length, begin] = [devices[rank]!, lengths[rank]!, end];
        end += length;
        const upload = (values: Float64Array) =>
          fromArray(device, sliceTokens(values, sizes, begin, length), [B, length, D], 'f64');
        const leaf = (tensor: Tensor) => {
          tensor.requiresGrad = true;
          tensor.gradient = zeros(device, tensor.shape, 'f64');
          return tensor;
        };
        const input = leaf(upload(x));
        const weight = leaf(fromArray(device, randomNormal(D * (W ?? 0), 3), [D, W ?? 0], 'f64'));
        const resets = flags
          ? fromArray(device, sliceTokens(flags, sizes, begin, length), [B, length], 'i32')
          : null;
        const log = new ReceivedLog();
        const run = (received = log.record()) => {
          const slice = withHalo(input, numRows, { group: { communicator }, resets, received });
          return W === null
            ? tokenShift(slice, resets)
            : causalConv({ ...slice, weight, bias: null }, { resets, activation: 'silu' });
        };
        if (replay) device.withoutTape(() => device.scope(() => run()));
        const { result: output, tape } = device.record(() =>
          device.scope(() => run(replay ? log.replay() : log.record())),
        );
        tape.backward([output], [upload(dy)]);
        return { begin, input, weight, output, communicator };
      });
      const results = {
        output: new Float64Array(x.length),
        x: new Float64Array(x.length),
        weight: new Float64Array(D * (W ?? 0)),
      };
      for (const { begin, input, weight, output, communicator } of slices) {
        placeTokens(results.output, sizes, begin, await output.readNumbers());
        placeTokens(results.x, sizes, begin, await input.gradient!.readNumbers());
        const dWeight = await weight.gradient!.readNumbers();
        dWeight.forEach((value, i) => {
          results.weight[i]! += value;
        });
        const { rank, size } = communicator;
        const numSends = Number(rank + 1 < size) + Number(rank > 0);
        assert.is(communicator.bytesSent(), numSends * B * numRows * D * 8, `bytes of rank ${rank}`);
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
      const T = lengths.reduce((sum, length) => sum + length, 0);
      const whole = await onRanks({ W, lengths: [T], ...(starts && { starts }) }, false);
      const found = await onRanks(problem, replay);
      for (const key of ['output', 'x', 'weight'] as const) {
        expectClose(`${label}: ${key}`, found[key], whole[key], tolerances.f64);
      }
    });
  }
}

test.run();
