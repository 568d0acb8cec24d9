import { chainSeconds, type LinkCost } from '@longscan/worker';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { algorithmOf, type Collective, type Exchanges, exchangesOf } from './collectives.js';
import type { Machine } from './machine.js';
import { bytesSentIn, meetingSeconds, numMessages } from './meeting-seconds.js';
import type { Program } from './program.js';
import { simulate } from './simulate.js';

const fast: LinkCost = { latencyS: 2e-6, gapS: 1e-6, bandwidthBytesPerS: 100e9 };
const slow: LinkCost = { latencyS: 50e-6, gapS: 30e-6, bandwidthBytesPerS: 1e9 };

const onLink = (fabric: LinkCost): Machine => ({
  fabric,
  ranksAtOnce: null,
  slowdown: [1],
  coresPerMessage: 0,
});

function programOf(exchanges: Exchanges): Program {
  return {
    streams: ['sp'],
    instructions: exchanges.map((each) => ({ kind: 'exchange', stream: 0, channel: 'sp', ...each })),
  };
}

function run(collective: Collective, size: number, engine: 'tcp' | 'nccl', link: LinkCost) {
  const algorithm = algorithmOf(collective, size, engine);
  const exchanges = Array.from({ length: size }, (_, rank) =>
    exchangesOf(collective, { rank, size }, algorithm),
  );
  return { algorithm, exchanges, ...simulate(exchanges.map(programOf), onLink(link)) };
}

const verbs = ['allGather', 'reduceScatter', 'allReduce', 'broadcast', 'barrier'] as const;
const kib = 1024;

test('messages of collectives ~> the time, bytes and number that are said of them as a whole', () => {
  for (const verb of verbs) {
    for (const size of [2, 3, 8, 17]) {
      for (const link of [fast, slow]) {
        for (const engine of ['tcp', 'nccl'] as const) {
          // Blocks of all ranks are alike, some of them a large piece and a small one.
          for (const bytes of [
            4 * size,
            1024 * size,
            256 * kib * size,
            260 * kib * size,
            1024 * kib * size,
          ]) {
            const collective = { verb, bytes: verb === 'barrier' ? 0 : bytes };
            const { algorithm, exchanges, seconds, ranks } = run(collective, size, engine, link);
            const what = `${verb} of ${bytes} bytes on ${size} ranks, ${engine}`;
            const expected = meetingSeconds(collective, size, algorithm, link);
            assert.ok(Math.abs(seconds / expected - 1) < 1e-6, `${what}: ${seconds} s, not ${expected}`);
            const sent = bytesSentIn(collective, size, algorithm);
            for (const [rank, { bytesSent }] of ranks.entries()) {
              const isLast = verb === 'broadcast' && rank === size - 1;
              assert.is(bytesSent, isLast ? 0 : sent, what);
            }
            const messages = exchanges.flat().reduce((sum, { sends }) => sum + sends.length, 0);
            assert.is(messages, numMessages(collective, size, algorithm), what);
          }
        }
      }
    }
  }
});

test('uneven vectors ~> every element is summed and gathered once', () => {
  for (const count of [1, 7, 100_003, 1_000_001]) {
    for (const size of [2, 3, 5, 8]) {
      const bytes = 4 * count;
      const sum = (verb: 'reduceScatter' | 'allReduce') =>
        run({ verb, bytes }, size, 'nccl', fast).ranks.reduce((all, { bytesSent }) => all + bytesSent, 0);
      assert.is(sum('reduceScatter'), (size - 1) * bytes);
      assert.is(sum('allReduce'), 2 * (size - 1) * bytes);
    }
  }
});

test('engines ~> the built-in one goes direct up to 32 KiB, NCCL around the ring', () => {
  assert.is(algorithmOf({ verb: 'allGather', bytes: 32 * kib }, 4, 'tcp'), 'direct');
  assert.is(algorithmOf({ verb: 'allGather', bytes: 32 * kib + 1 }, 4, 'tcp'), 'ring');
  assert.is(algorithmOf({ verb: 'reduceScatter', bytes: 128 * kib }, 4, 'tcp'), 'direct');
  assert.is(algorithmOf({ verb: 'allReduce', bytes: 8 }, 4, 'nccl'), 'ring');
});

test('chains in blocks ~> the closed formula', () => {
  for (const numRanks of [2, 3, 8, 64]) {
    for (const numBlocks of [1, 2, 16, 64]) {
      for (const link of [fast, slow]) {
        const bytes = 2 ** 21;
        const peer = (to: number, is: boolean) => (is ? [{ peer: to, bytes: bytes / numBlocks }] : []);
        const programs = Array.from({ length: numRanks }, (_, rank) =>
          programOf(
            Array.from({ length: numBlocks + 1 }, (_, i) => ({
              sends: peer(rank + 1, rank + 1 < numRanks && i > 0),
              recvs: peer(rank - 1, rank > 0 && i < numBlocks),
            })),
          ),
        );
        const { seconds } = simulate(programs, onLink(link));
        const expected = chainSeconds(numRanks, bytes, numBlocks, link);
        assert.ok(
          Math.abs(seconds / expected - 1) < 1e-9,
          `${numRanks} ranks, ${numBlocks} blocks: ${seconds}, not ${expected}`,
        );
      }
    }
  }
});

test.run();
