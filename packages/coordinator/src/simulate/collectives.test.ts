import { type FabricCost, type LinkCost, messageChainSeconds } from '@longscan/worker';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Collective, type Exchanges, exchangesOf, methodOf } from './collectives.js';
import { collectiveLinks, type Engine } from './engine.js';
import type { Machine } from './machine.js';
import { bytesSentIn, meetingSeconds, numMessages } from './meeting-seconds.js';
import type { Program } from './program.js';
import { simulate } from './simulate.js';

const fast: LinkCost = { latencyS: 2e-6, gapS: 1e-6, bandwidthBytesPerS: 100e9 };
const slow: LinkCost = { latencyS: 50e-6, gapS: 30e-6, bandwidthBytesPerS: 1e9 };

const onLink = (fabric: FabricCost): Machine => ({
  fabric,
  ranksAtOnce: null,
  slowdown: [1],
  coresPerMessage: 0,
});

function programOf(exchanges: Exchanges): Program {
  const instructions = exchanges.map((each) => ({ kind: 'exchange', channel: 'sp', ...each }) as const);
  return { streams: [{ name: 'sp', instructions }] };
}

function run(collective: Collective, size: number, engine: Engine, link: LinkCost) {
  const method = methodOf(collective, size, engine);
  const exchanges = Array.from({ length: size }, (_, rank) =>
    exchangesOf(collective, { rank, size }, method),
  );
  return { method, exchanges, ...simulate(exchanges.map(programOf), onLink(link)) };
}

const verbs = ['allGather', 'reduceScatter', 'allReduce', 'broadcast', 'barrier'] as const;
const kib = 1024;

test('messages of collectives ~> the time, bytes and number that are said of them as a whole', () => {
  for (const verb of verbs) {
    for (const size of [2, 3, 8, 17]) {
      for (const link of [fast, slow]) {
        for (const engine of ['tcp', 'nccl'] as const) {
          const links = collectiveLinks(link, engine);
          // Blocks of all ranks are alike, some of them a large piece and a small one.
          for (const bytes of [
            4 * size,
            1024 * size,
            256 * kib * size,
            260 * kib * size,
            600_004 * size,
            1024 * kib * size,
          ]) {
            const collective = { verb, bytes: verb === 'barrier' ? 0 : bytes };
            const { method, exchanges, seconds, ranks } = run(collective, size, engine, link);
            const what = `${verb} of ${bytes} bytes on ${size} ranks, ${engine}`;
            const expected = meetingSeconds(collective, size, method, links);
            assert.ok(Math.abs(seconds / expected - 1) < 1e-6, `${what}: ${seconds} s, not ${expected}`);
            const sent = bytesSentIn(collective, size, method);
            for (const [rank, { bytesSent }] of ranks.entries()) {
              const isLast = verb === 'broadcast' && rank === size - 1;
              assert.is(bytesSent, isLast ? 0 : sent, what);
            }
            const messages = exchanges.flat().reduce((sum, { sends }) => sum + sends.length, 0);
            assert.is(messages, numMessages(collective, size, method), what);
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
  const algorithmOf = (verb: Collective['verb'], bytes: number, engine: Engine) =>
    methodOf({ verb, bytes }, 4, engine).algorithm;
  assert.is(algorithmOf('allGather', 32 * kib, 'tcp'), 'direct');
  assert.is(algorithmOf('allGather', 32 * kib + 1, 'tcp'), 'ring');
  assert.is(algorithmOf('reduceScatter', 128 * kib, 'tcp'), 'direct');
  assert.is(algorithmOf('allReduce', 8, 'nccl'), 'ring');
});

test('pieces of a block ~> messages with a gap each for the built-in engine, one kernel without for NCCL', () => {
  const [size, bytes] = [4, 8 * 256 * kib + 16 * kib];
  const gather = (engine: Engine) => run({ verb: 'allGather', bytes }, size, engine, slow);
  const sizesOf = (engine: Engine) => {
    const sent = gather(engine).exchanges[0]!.flatMap(({ sends }) => sends.map((message) => message.bytes));
    return sent.slice(0, 9);
  };
  assert.equal(sizesOf('tcp'), [...Array.from({ length: 8 }, () => 256 * kib), 16 * kib]);
  const even = sizesOf('nccl');
  assert.is(Math.max(...even) - Math.min(...even) < 9, true);
  assert.is(
    even.reduce((sum, each) => sum + each),
    bytes,
  );
  const seconds = (size - 1) * (bytes / slow.bandwidthBytesPerS);
  const restGapS = slow.gapS - (16 * kib) / slow.bandwidthBytesPerS;
  const near = (found: number, expected: number) => Math.abs(found / expected - 1) < 1e-9;
  assert.ok(near(gather('nccl').seconds, seconds + slow.latencyS), `${gather('nccl').seconds}`);
  // Of the last block nobody waits for the gap.
  const expected = seconds + slow.latencyS + (size - 2) * restGapS;
  assert.ok(near(gather('tcp').seconds, expected), `${gather('tcp').seconds}`);
});

test("nodes ~> NCCL's rings leave them through all adapters, the built-in engine's through one", () => {
  const nodes = { ranksPerNode: 4, between: slow };
  const gather = (engine: Engine) => {
    const collective: Collective = { verb: 'allGather', bytes: 2 ** 24 };
    const size = 8;
    const method = methodOf(collective, size, engine);
    const programs = Array.from({ length: size }, (_, rank) =>
      programOf(exchangesOf(collective, { rank, size }, method)),
    );
    return simulate(programs, onLink({ ...fast, nodes })).seconds;
  };
  const slowS = (7 * 2 ** 24) / slow.bandwidthBytesPerS;
  for (const [engine, expected] of [
    ['tcp', slowS],
    ['nccl', slowS / 4],
  ] as const)
    assert.ok(
      Math.abs(gather(engine) / expected - 1) < 0.05,
      `${engine}: ${gather(engine)}, not ${expected}`,
    );
  const wide = collectiveLinks({ ...slow, nodes: { ranksPerNode: 4, between: slow } }, 'nccl');
  assert.is(wide.nodes!.between.bandwidthBytesPerS, slow.bandwidthBytesPerS, 'not more than inside');
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
        const expected = messageChainSeconds(numRanks, bytes, numBlocks, link);
        assert.ok(
          Math.abs(seconds / expected - 1) < 1e-9,
          `${numRanks} ranks, ${numBlocks} blocks: ${seconds}, not ${expected}`,
        );
      }
    }
  }
});

test.run();
