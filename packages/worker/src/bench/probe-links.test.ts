import { type Communicator, createInProcessGroup, openCpuDevice, type Tensor } from '@longscan/kernels';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type CollectiveTimes, collectivesResultSchema } from '../protocol/collectives.js';
import { withChains } from '../testing/with-chains.js';
import { type ProbeOptions, probedSizes, probeGroup } from './probe-links.js';

/** The same probe on all ranks of a group in this process, with the links that each rank sees; null: as they are. */
async function probe(
  numRanks: number,
  options: ProbeOptions,
  linkOf: (rank: number) => { latencyS: number; byteS: number } | null = () => null,
  hasChains = false,
): Promise<CollectiveTimes[][]> {
  const devices = Array.from({ length: numRanks }, () => openCpuDevice({ poison: true }));
  const group = createInProcessGroup(devices, { timeoutMs: 60_000 });
  try {
    return await Promise.all(
      group.map(async (communicator, rank): Promise<CollectiveTimes[]> => {
        const link = linkOf(rank);
        const group = hasChains ? withChains(communicator) : communicator;
        const seen = link === null ? group : withClock(group, link);
        const cases = await probeGroup(seen, options);
        assert.is(devices[rank]!.memory().inUseBytes, 0, `rank ${rank} holds memory`);
        return cases;
      }),
    );
  } finally {
    for (const communicator of group) communicator.close();
    for (const device of devices) device.close();
  }
}

/** A communicator on whose stream the time is that of its messages over a link. */
function withClock(communicator: Communicator, link: { latencyS: number; byteS: number }): Communicator {
  let clockS = 0;
  const overlay = <T extends object>(target: T, changed: object): T =>
    new Proxy(target, {
      get(_, key) {
        if (Reflect.has(changed, key)) return Reflect.get(changed, key);
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  const stopwatch = () => {
    const begin = clockS;
    return () => Promise.resolve(1000 * (clockS - begin));
  };
  const timed = (verb: 'send' | 'recv') => (tensor: Tensor, peer: number) => {
    clockS += link.latencyS + tensor.bytes * link.byteS;
    communicator[verb](tensor, peer);
  };
  const stream = overlay(communicator.stream, { stopwatch });
  return overlay(communicator, { stream, send: timed('send'), recv: timed('recv') });
}

const nameOf = ({ op, bytes, link }: CollectiveTimes) => `${op} ${bytes} ${link}`;
const allSizes = (op: string, link: string) => probedSizes.map((bytes) => `${op} ${bytes} ${link}`);

for (const [numRanks, ranksPerNode] of [
  [2, 2],
  [3, 3],
  [4, 2],
] as const) {
  test(`probe ~> messages alone and in runs of every size, ${numRanks} ranks, ${ranksPerNode} a node`, async () => {
    // Time without end, so that no size is left out on a slow machine.
    const byRank = await probe(numRanks, { ranksPerNode, caseS: 1000, sampleS: 1e-4 });
    const links = ranksPerNode < numRanks ? ['inside', 'between'] : ['inside'];
    const expected = links.flatMap((link) => [...allSizes('send-recv', link), ...allSizes('burst', link)]);
    for (const [rank, cases] of byRank.entries()) {
      collectivesResultSchema.shape.cases.parse(cases);
      assert.equal(cases.map(nameOf), expected);
      for (const { samplesS, hostS } of cases) {
        assert.is(samplesS?.length, rank === 0 ? 9 : undefined);
        assert.is(hostS.length, 9);
        for (const seconds of samplesS ?? []) assert.ok(seconds > 0);
      }
    }
  });
}

test('probe ~> chains, too, where the group has some of its own: the first rank has their times', async () => {
  const byRank = await probe(3, { ranksPerNode: 3, caseS: 1000, sampleS: 1e-4 }, undefined, true);
  const chains = [...allSizes('chain', 'null'), ...allSizes('chain-run', 'null')];
  for (const [rank, cases] of byRank.entries()) {
    collectivesResultSchema.shape.cases.parse(cases);
    assert.equal(cases.slice(-chains.length).map(nameOf), chains);
    for (const { samplesS, hostS } of cases.slice(-chains.length)) {
      assert.is(samplesS?.length, rank === 0 ? 9 : undefined);
      assert.is(hostS.length, 9);
    }
  }
});

test('probe ~> what takes longer is left out and sampled less, by what the slowest rank sees, the same on all ranks', async () => {
  const fast = { latencyS: 1e-5, byteS: 1e-10 };
  for (const [slow, lone, runs] of [
    // A call is two messages: 4 calls of 64 KiB take 0.13 s, of 1 MiB 2.1 s. Of runs the first two sizes are left.
    [{ latencyS: 1e-4, byteS: 2.5e-7 }, [9, 9, 6], [9, 5]],
    [{ latencyS: 1, byteS: 1e-3 }, [3, 3], [3, 3]],
    [fast, [9, 9, 9, 9, 9], [9, 9, 9, 9, 7]],
  ] as const) {
    const byRank = await probe(3, { ranksPerNode: 3 }, (rank) => (rank === 1 ? slow : fast));
    for (const [rank, cases] of byRank.entries()) {
      const counts = (op: string) => cases.filter((one) => one.op === op).map(({ hostS }) => hostS.length);
      assert.equal([counts('send-recv'), counts('burst')], [[...lone], [...runs]], `rank ${rank}`);
    }
  }
});

test.run();
