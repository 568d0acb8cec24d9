import { fromArray, type Tensor, zeros } from '@longscan/kernels';
import { expectClose, placeTokens, randomNormal, sliceTokens, tolerances } from '@longscan/kernels/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadStrategy } from '../load-strategy.js';
import { type SequenceAttentionOptions, sequenceAttention } from '../sequence/attention.js';
import { positionsOf } from '../sequence/positions.js';
import { ReceivedLog } from '../sequence/received.js';
import { slicesOf } from '../sequence/sequence-group.js';
import { type Engine, withRanks } from './rank-set.js';

interface Case {
  readonly lengths: readonly number[];
  readonly options?: SequenceAttentionOptions;
  /** Document starts by sequence. */
  readonly starts?: readonly (readonly number[])[];
  readonly engine?: Engine;
}

const [B, H, G, K, V] = [2, 4, 2, 6, 5];
const widths = { q: H * K, k: G * K, v: G * V, o: H * V };
const starts = [[6, 8, 17], [7]];

const cases: readonly Case[] = [
  { lengths: [9, 9] },
  { lengths: [5, 1, 8, 4], starts },
  { lengths: [5, 1, 8, 4], options: { window: 1 } },
  { lengths: [5, 1, 8, 4], options: { window: 4 }, starts },
  { lengths: [5, 1, 8, 4], options: { window: 12 } },
  { lengths: [70, 40, 33], options: { window: 50 } },
  { lengths: [8, 12, 6], options: { chunk: 4 } },
  { lengths: [8, 12, 6], options: { chunk: 4 }, starts },
  { lengths: [5, 1, 8, 4], engine: 'tcp' },
];

type Name = keyof typeof widths;

const strategy = await loadStrategy('ring');

/** Output and gradients of the sequences on ranks; `replay`: the pass that counts receives nothing forward. */
function onRanks(problem: Case, replay: boolean): Promise<Record<Name, Float64Array>> {
  const { lengths, options = {}, engine = 'in-process' } = problem;
  const T = lengths.reduce((sum, length) => sum + length, 0);
  const sizes = { B, T };
  const host = Object.fromEntries(
    Object.entries(widths).map(([name, width], i) => [name, randomNormal(B * T * width, i + 1)]),
  ) as Record<Name, Float64Array>;
  const flags = problem.starts && new Int32Array(B * T);
  problem.starts?.forEach((tokens, b) => {
    for (const t of tokens) flags![b * T + t] = 1;
  });
  return withRanks(
    lengths.length,
    async ({ devices, communicators }) => {
      const slices = slicesOf(lengths);
      const runs = slices.map(({ start, length }, rank) => {
        const device = devices[rank]!;
        const upload = (name: Name, row: readonly number[]) =>
          fromArray(device, sliceTokens(host[name], sizes, start, length), [B, length, ...row], 'f64');
        const leaf = (tensor: Tensor) => {
          tensor.requiresGrad = true;
          tensor.gradient = zeros(device, tensor.shape, 'f64');
          return tensor;
        };
        const inputs = {
          q: leaf(upload('q', [H, K])),
          k: leaf(upload('k', [G, K])),
          v: leaf(upload('v', [G, V])),
        };
        const group = { communicator: communicators[rank]!, strategy, options: { blocks: 1 }, slices };
        const i32 = (values: ArrayLike<number>, shape: readonly number[]) =>
          fromArray(device, values, shape, 'i32');
        const documents = {
          resets: flags ? i32(sliceTokens(flags, sizes, start, length), [B, length]) : null,
          before: flags ? i32(openTokens(flags, T, start), [B]) : null,
        };
        const log = new ReceivedLog();
        const run = (received = log.record()) => {
          const positions = flags ? positionsOf(inputs.q, group, documents) : null;
          return sequenceAttention(inputs, options, { group, positions, received });
        };
        if (replay) device.withoutTape(() => device.scope(() => run()));
        const { result: output, tape } = device.record(() =>
          device.scope(() => run(replay ? log.replay() : log.record())),
        );
        tape.backward([output], [upload('o', [H, V])]);
        log.release();
        return { start, inputs, output };
      });
      const results = Object.fromEntries(
        Object.entries(widths).map(([name, width]) => [name, new Float64Array(B * T * width)]),
      ) as Record<Name, Float64Array>;
      for (const { start, inputs, output } of runs) {
        placeTokens(results.o, sizes, start, await output.readNumbers());
        for (const name of ['q', 'k', 'v'] as const) {
          placeTokens(results[name], sizes, start, await inputs[name].gradient!.readNumbers());
        }
      }
      for (const communicator of communicators) {
        const expected = bytesOf(problem, communicator.rank);
        assert.is(communicator.bytesSent(), expected, `bytes of rank ${communicator.rank}`);
      }
      return results;
    },
    { engine },
  );
}

function openTokens(flags: Int32Array, T: number, begin: number): number[] {
  return Array.from({ length: B }, (_, b) => {
    return begin - Math.max(0, flags.subarray(b * T, b * T + begin).lastIndexOf(1));
  });
}

/** Keys and values go to every later rank that can see them, their gradients to every earlier one that has them. */
function bytesOf(
  { lengths, options: { window = Number.POSITIVE_INFINITY, chunk = 1 } = {} }: Case,
  rank: number,
) {
  const slices = slicesOf(lengths).map(({ start, length }) => ({ start, end: start + length }));
  const tokens = (from: number, to: number) => {
    const first = Math.max(slices[from]!.start, slices[to]!.start - (window - 1));
    return Math.max(0, slices[from]!.end - first);
  };
  let rows = 0;
  for (let other = 0; other < lengths.length; other++) {
    if (other > rank) rows += tokens(rank, other) / chunk;
    if (other < rank) rows += tokens(other, rank) / chunk;
  }
  return rows * B * G * (K + V) * 8;
}

for (const problem of cases) {
  const { lengths, options = {}, engine } = problem;
  const packed = problem.starts ? ', documents packed' : '';
  const label = `slices of ${lengths} ${JSON.stringify(options)}${packed}${engine ? `, ${engine}` : ''}`;
  for (const replay of [false, true]) {
    test(`attention over ranks ~> ${label}${replay ? ', replayed' : ''}`, async () => {
      const T = lengths.reduce((sum, length) => sum + length, 0);
      const whole = await onRanks({ ...problem, lengths: [T] }, false);
      const found = await onRanks(problem, replay);
      for (const name of ['o', 'q', 'k', 'v'] as const) {
        expectClose(`${label}: ${name}`, found[name], whole[name], tolerances.f64);
      }
    });
  }
}

test('attention over ranks ~> only enqueues: it returns while no stream may compute', async () => {
  await withRanks(2, async ({ devices, communicators }) => {
    const slices = slicesOf([3, 3]);
    const releases = devices.map(({ compute }) => compute.closeGate());
    const outputs = devices.map((device, rank) => {
      const tensor = (heads: number) =>
        fromArray(device, randomNormal(3 * heads * K, rank), [1, 3, heads, K]);
      const inputs = { q: tensor(H), k: tensor(G), v: tensor(G) };
      const group = { communicator: communicators[rank]!, strategy, options: { blocks: 1 }, slices };
      return sequenceAttention(inputs, {}, { group, positions: null });
    });
    for (const { compute } of devices) assert.not(compute.isIdle());
    for (const release of releases) release();
    for (const output of outputs) assert.ok((await output.readNumbers()).every(Number.isFinite));
  });
});

test('attention over ranks ~> slices are whole chunks', async () => {
  await withRanks(2, async ({ devices, communicators }) => {
    const tensor = (heads: number) =>
      fromArray(devices[0]!, randomNormal(6 * heads * K, 1), [1, 6, heads, K]);
    const inputs = { q: tensor(H), k: tensor(G), v: tensor(G) };
    const group = { communicator: communicators[0]!, slices: slicesOf([6, 6]) };
    assert.throws(
      () => sequenceAttention(inputs, { chunk: 4 }, { group, positions: null }),
      /a slice that begins at token 6, expected a multiple of the chunk, 4/,
    );
  });
});

test('attention over ranks ~> packed documents need to know how far back they began', async () => {
  await withRanks(2, async ({ devices, communicators }) => {
    const device = devices[1]!;
    const group = {
      communicator: communicators[1]!,
      strategy,
      options: { blocks: 1 },
      slices: slicesOf([3, 3]),
    };
    const x = fromArray(device, new Float64Array(3), [1, 3, 1]);
    const resets = fromArray(device, [0, 1, 0], [1, 3], 'i32');
    assert.throws(
      () => positionsOf(x, group, { resets, before: null }),
      /how many tokens of the open document/,
    );
  });
});

test.run();
