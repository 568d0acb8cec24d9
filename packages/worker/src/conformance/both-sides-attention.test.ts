import { type Device, documentPositions, flip, fromArray, type Tensor, zeros } from '@longscan/kernels';
import {
  documentEnds,
  documentStarts,
  expectClose,
  placeTokens,
  randomNormal,
  reversedTokens,
  sliceTokens,
  tolerances,
} from '@longscan/kernels/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { attentionToBothSides } from '../sequence/both-sides-attention.js';
import { type SliceGroup, slicesOf } from '../sequence/slice-group.js';
import { overlap } from '../sequence/token-ranges.js';
import { withRanks } from './rank-set.js';

const [B, H, G, K, V] = [2, 4, 2, 3, 5];
const names = ['q', 'k', 'v'] as const;
type Values = Readonly<Record<'output' | (typeof names)[number], Float64Array>>;

interface Case {
  readonly lengths: readonly number[];
  readonly window?: number;
  readonly starts?: readonly number[];
}

const cases: readonly Case[] = [
  { lengths: [20, 20] },
  { lengths: [13, 1, 40] },
  { lengths: [9, 9, 9, 9], window: 4 },
  { lengths: [9, 2, 5, 20], window: 12 },
  { lengths: [16, 16, 16], starts: [5, 6, 16, 40] },
  { lengths: [7, 30, 1, 12], starts: [3, 45], window: 9 },
];

const sizes = { q: H * K, k: G * K, v: G * V, output: H * V };

/** softmax over every token of the document that is fewer than `window` tokens away. */
function definition(T: number, { q, k, v }: Values, resets: Int32Array | null, window: number): Float64Array {
  const output = new Float64Array(B * T * H * V);
  let document = 0;
  const documents = Int32Array.from({ length: B * T }, (_, i) => {
    if (i % T === 0 || resets?.[i]) document++;
    return document;
  });
  for (let row = 0; row < B * T; row++) {
    for (let h = 0; h < H; h++) {
      const g = Math.floor((h * G) / H);
      const seen = Array.from({ length: B * T }, (_, s) => s).filter(
        (s) => documents[s] === documents[row] && Math.abs(s - row) < window,
      );
      const scores = seen.map((s) => {
        let sum = 0;
        for (let i = 0; i < K; i++) sum += q[(row * H + h) * K + i]! * k[(s * G + g) * K + i]!;
        return Math.exp(sum / Math.sqrt(K));
      });
      const total = scores.reduce((sum, score) => sum + score, 0);
      seen.forEach((s, j) => {
        for (let i = 0; i < V; i++) {
          output[(row * H + h) * V + i]! += (scores[j]! / total) * v[(s * G + g) * V + i]!;
        }
      });
    }
  }
  return output;
}

/** One rank's slice, forward and backward. */
function runSlice(
  device: Device,
  T: number,
  values: Values,
  resets: Int32Array | null,
  { window }: Case,
  group: SliceGroup | null,
  [begin, length]: readonly [number, number],
) {
  const cut = (all: Float64Array) => sliceTokens(all, { B, T }, begin, length);
  const leaf = (name: 'q' | 'k' | 'v', heads: number, size: number): Tensor => {
    const tensor = fromArray(device, cut(values[name]), [B, length, heads, size], 'f64');
    tensor.requiresGrad = true;
    tensor.gradient = zeros(device, tensor.shape, 'f64');
    return tensor;
  };
  const inputs = { q: leaf('q', H, K), k: leaf('k', G, K), v: leaf('v', G, V) };
  // Of the whole sequence, in its order and in reverse, so that no rank has to ask.
  const countFrom = (flags: Int32Array | null) =>
    documentPositions(device, [B, T], { resets: flags && fromArray(device, flags, [B, T], 'i32') });
  const ofSlice = async (all: Tensor) => {
    const flags = sliceTokens((await all.read()) as Int32Array, { B, T }, begin, length);
    return fromArray(device, flags, [B, length], 'i32');
  };
  return async () => {
    const positions = resets && (await ofSlice(countFrom(resets)));
    const ends = resets && reversedTokens(documentEnds(resets, T), B, T);
    const after = await ofSlice(flip(countFrom(ends)));
    const { result: output, tape } = device.record(() =>
      device.scope(() => attentionToBothSides(inputs, { window }, { group, positions, after })),
    );
    const gradient = fromArray(device, cut(values.output), output.shape, 'f64');
    tape.backward([output], [gradient]);
    return { output, ...inputs };
  };
}

/** All slices on ranks; output and gradients of the whole sequence, and the bytes that each rank sent. */
function onRanks(problem: Case, values: Values, T: number, resets: Int32Array | null) {
  const { lengths } = problem;
  return withRanks(lengths.length, async ({ devices, communicators }) => {
    const slices = slicesOf(lengths);
    const results: Values = {
      ...{ output: new Float64Array(B * T * sizes.output), q: new Float64Array(B * T * sizes.q) },
      ...{ k: new Float64Array(B * T * sizes.k), v: new Float64Array(B * T * sizes.v) },
    };
    const runs = slices.map(({ start, length }, rank) => {
      const communicator = communicators[rank]!;
      const group = lengths.length === 1 ? null : { communicator, slices };
      return runSlice(devices[rank]!, T, values, resets, problem, group, [start, length])();
    });
    for (const [rank, run] of (await Promise.all(runs)).entries()) {
      const { start } = slices[rank]!;
      placeTokens(results.output, { B, T }, start, await run.output.readNumbers());
      for (const name of names) {
        placeTokens(results[name], { B, T }, start, await run[name].gradient!.readNumbers());
      }
    }
    return { results, bytes: communicators.map((communicator) => communicator.bytesSent()) };
  });
}

for (const problem of cases) {
  const { lengths, window, starts } = problem;
  const packed = starts ? `, documents from ${starts}` : '';
  test(`attention to both sides ~> slices of ${lengths}, window ${window ?? 'none'}${packed}`, async () => {
    const T = lengths.reduce((sum, length) => sum + length, 0);
    const resets = documentStarts(B, T, starts);
    const values = Object.fromEntries(
      Object.entries(sizes).map(([name, size], i) => [name, randomNormal(B * T * size, i + 1)]),
    ) as unknown as Values;
    const { results: alone } = await onRanks({ ...problem, lengths: [T] }, values, T, resets);
    const expected = definition(T, values, resets, window ?? Infinity);
    expectClose('output', alone.output, expected, tolerances.f64);
    const { results, bytes } = await onRanks(problem, values, T, resets);
    for (const name of ['output', ...names] as const) {
      expectClose(name, results[name], alone[name], tolerances.f64);
    }
    const slices = slicesOf(lengths);
    const reach = (window ?? Infinity) - 1;
    slices.forEach((slice, rank) => {
      // What others see of this slice goes to them, and gradients of what it sees of theirs go back.
      const rows = slices.reduce((sum, { start, length }, peer) => {
        const seenBy = (from: number, size: number) => ({ start: from - reach, length: size + 2 * reach });
        if (peer === rank) return sum;
        const given = reach === Infinity ? slice : overlap(slice, seenBy(start, length));
        const taken =
          reach === Infinity ? { length } : overlap({ start, length }, seenBy(slice.start, slice.length));
        return sum + given.length + taken.length;
      }, 0);
      assert.is(bytes[rank], 8 * B * (sizes.k + sizes.v) * rows, `bytes of rank ${rank}`);
    });
  });
}

test.run();
