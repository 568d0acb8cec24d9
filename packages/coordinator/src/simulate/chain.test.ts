import {
  type ChainEntry,
  type ChainLinkCost,
  mappedChain,
  mappedChainSeconds,
  type Schedule,
  type ScheduleEntry,
} from '@longscan/worker';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { programsOf } from './programs-of.js';
import { type Span, simulate } from './simulate.js';

const MiB = 2 ** 20;
const link: ChainLinkCost = {
  launchS: 20e-6,
  latencyS: 4e-6,
  bandwidthBytesPerS: 200e9,
  denseFlopsPerS: 1e12,
};
const fabric = { latencyS: 80e-6, gapS: 80e-6, bandwidthBytesPerS: 400e9, chains: link };
const machine = { fabric, ranksAtOnce: null, slowdown: [1], coresPerMessage: 0 };

/** Heads of 128 x 128. */
const chainOf = (bytes: number, step: 1 | -1 = 1, isDense = false): ChainEntry => ({
  ...{ kind: 'chain', stream: 1, group: 'sp', step, bytes, rows: bytes / 512, isDense },
});

function run(ranks: readonly (readonly ScheduleEntry[])[], secondsOf: (name: string) => number = () => 0) {
  const schedules = ranks.map((entries): Schedule => ({ streams: ['compute', 'sp', 'world'], entries }));
  const numRanks = ranks.length;
  const mesh = { sp: numRanks, dp: 1, numRanks };
  const options = {
    mesh,
    engine: 'nccl',
    fabric,
    secondsOf: (op: { name: string }) => secondsOf(op.name),
  } as const;
  const spans: Span[] = [];
  const result = simulate(programsOf(schedules, options), machine, { onSpan: (span) => spans.push(span) });
  return { ...result, spans };
}

const near = (found: number, expected: number, what: string) =>
  assert.ok(Math.abs(found / expected - 1) < 1e-9, `${what}: ${found} s, not ${expected}`);

test('chain ~> what the formula says, both ways, dense or not; every rank but the last sends the state', () => {
  for (const numRanks of [2, 3, 4, 8]) {
    for (const bytes of [512, 64 * 2 ** 10, MiB, 4 * MiB, 16 * MiB, 64 * MiB + 512]) {
      for (const isDense of [false, true]) {
        for (const step of [1, -1] as const) {
          const what = `${numRanks} ranks, ${bytes} bytes, ${isDense ? 'dense' : 'not dense'}, step ${step}`;
          const { seconds, ranks } = run(
            Array.from({ length: numRanks }, () => [chainOf(bytes, step, isDense)]),
          );
          const chain = mappedChain({
            ...{ state: bytes, rows: bytes / 512, kind: isDense ? 'dense' : 'identity' },
          });
          near(seconds, mappedChainSeconds(numRanks, chain!, link), what);
          const last = step === 1 ? numRanks - 1 : 0;
          for (const [rank, { bytesSent }] of ranks.entries())
            assert.is(bytesSent, rank === last ? 0 : bytes, `${what}: rank ${rank}`);
        }
      }
    }
  }
});

test('chains that follow each other ~> each rank goes on as soon as its own part is over', () => {
  const numRanks = 4;
  const chains = Array.from({ length: 10 }, () => chainOf(MiB));
  const { seconds } = run(Array.from({ length: numRanks }, () => chains));
  const one = mappedChainSeconds(numRanks, mappedChain({ state: MiB, rows: 2048 })!, link);
  near(seconds, one + (9 * MiB) / link.bandwidthBytesPerS, 'a run');
});

const work: ScheduleEntry = { kind: 'op', stream: 1, name: 'work', bytes: 0, flops: 0 };
const workS = 1e-3;

test('a late receiver ~> finds the state there, of which four blocks of a lane have gone ahead', () => {
  const endsOf = (bytes: number, late: number, numRanks: number) => {
    const ranks = Array.from({ length: numRanks }, (_, rank) =>
      rank === late ? [work, chainOf(bytes)] : [chainOf(bytes)],
    );
    const { spans } = run(ranks, () => workS);
    return (rank: number) => Math.max(...spans.filter((span) => span.rank === rank).map(({ endS }) => endS));
  };
  const leaving = (bytes: number) => bytes / link.bandwidthBytesPerS;
  // Four blocks a lane: all of them are under way.
  const small = endsOf(4 * MiB, 1, 2);
  near(small(0), leaving(4 * MiB), 'the sender of as many as there are slots');
  near(small(1), workS, 'who is late has nothing to wait for');
  const { launchS, latencyS } = link;
  const middle = launchS + latencyS + leaving(MiB) + leaving(4 * MiB);
  near(endsOf(4 * MiB, 2, 3)(1), middle, 'the same of a rank in the middle');
  assert.ok(endsOf(8 * MiB, 2, 3)(1) > workS, 'more than slots: it waits with the others');
  // While it launches the first rank writes nothing: as much more than four blocks is on its way when those are written.
  assert.ok(endsOf(16 * MiB, 1, 2)(0) > workS);
});

test('a chain holds its stream, and the port while its bytes leave', () => {
  const message = { kind: 'exchange', stream: 2, group: 'world' } as const;
  const bytes = 4 * MiB;
  const leaving = bytes / link.bandwidthBytesPerS;
  const behind = { ...message, sends: [{ peer: 1, bytes: 400 }], recvs: [] };
  const arriving = { ...message, sends: [], recvs: [{ peer: 0, bytes: 400 }] };
  const { spans } = run(
    [
      [chainOf(bytes), { ...work, stream: 2 }, behind],
      [chainOf(bytes), arriving],
    ],
    () => leaving / 8,
  );
  const arrival = Math.max(
    ...spans.filter(({ rank, stream }) => rank === 1 && stream === 'world').map(({ endS }) => endS),
  );
  // In the middle of the first block, so that it leaves behind the one after that at the latest.
  const alone = leaving / 8 + fabric.latencyS + 400 / fabric.bandwidthBytesPerS;
  assert.ok(arrival > alone + leaving / 16 && arrival < alone + leaving, `${arrival} s, alone ${alone}`);
  const chain = spans.filter(({ rank, stream }) => rank === 1 && stream === 'sp');
  near(
    chain.reduce((sum, { startS, endS }) => sum + endS - startS, 0),
    Math.max(...chain.map(({ endS }) => endS)),
    'held',
  );
});

test('links that say nothing of mapped memory ~> a schedule with chains is not theirs', () => {
  const schedule: Schedule = { streams: ['compute', 'sp'], entries: [chainOf(MiB)] };
  const { chains: _, ...messages } = fabric;
  const mesh = { sp: 2, dp: 1, numRanks: 2 };
  const options = { mesh, engine: 'nccl', fabric: messages, secondsOf: () => 0 } as const;
  assert.throws(() => programsOf([schedule, schedule], options), /say nothing of it/);
});

test.run();
