import { type Communicator, createInProcessGroup, empty, openCpuDevice } from '@longscan/kernels';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { chainCost, startChain } from '../../chain.js';
import {
  type CollectiveTimes,
  collectivesResultSchema,
  measuredTransitions,
} from '../../protocol/collectives.js';
import { defineStrategy, type Strategy } from '../../strategy.js';
import { withChains } from '../../testing/with-chains.js';
import { type MeasureOptions, measureGroup } from '../collectives.js';
import { firstDifference } from './expect-values.js';
import { pairsOf } from './messages.js';
import { foldedState, stateShape } from './scan-data.js';

/** The same measurement on all ranks of a group in this process; `meddle` changes what a rank's communicator does. */
async function measure(
  numRanks: number,
  options: Partial<MeasureOptions>,
  meddle: (group: Communicator) => Communicator = (group) => group,
): Promise<CollectiveTimes[][]> {
  const devices = Array.from({ length: numRanks }, () => openCpuDevice({ poison: true }));
  const group = createInProcessGroup(devices, { timeoutMs: 20_000 });
  const all: MeasureOptions = {
    samplesFor: () => 2,
    sizes: [8],
    transition: 'identity',
    numRounds: 1,
    ranksPerNode: numRanks,
    ...options,
  };
  try {
    const failures: unknown[] = [];
    const results = group.map(async (communicator) => {
      try {
        return await measureGroup(meddle(communicator), all);
      } catch (error) {
        failures.push(error);
        // As the coordinator does: the others would wait for this rank.
        for (const other of group) other.abort('a rank has failed');
        return [];
      }
    });
    const byRank = await Promise.all(results);
    if (failures.length > 0) throw failures[0];
    for (const [rank, device] of devices.entries())
      assert.is(device.memory().inUseBytes, 0, `rank ${rank} holds memory`);
    return byRank;
  } finally {
    for (const communicator of group) communicator.close();
    for (const device of devices) device.close();
  }
}

const nameOf = ({ op, bytes, link, strategy, blocks, ranksPerNode }: CollectiveTimes) =>
  [op, bytes, link, strategy, blocks && `${blocks} blocks`, ranksPerNode && `${ranksPerNode} a node`]
    .filter((part) => part !== null)
    .join(' ');

for (const numRanks of [2, 3, 4]) {
  test(`bench collectives ~> every case between ${numRanks} ranks, its values checked`, async () => {
    const byRank = await measure(numRanks, { sizes: [8, 1024] });
    for (const [rank, cases] of byRank.entries()) {
      collectivesResultSchema.shape.cases.parse(cases);
      for (const { op, samplesS, hostS } of cases) {
        assert.is(hostS.length, 2);
        const isTimed =
          { 'send-recv': rank === 0, burst: rank === 0, scan: rank === 0 }[op as string] ?? true;
        assert.is(samplesS?.length, isTimed ? 2 : undefined, `${op} on rank ${rank}`);
        for (const seconds of [...(samplesS ?? []), ...hostS]) assert.ok(seconds > 0 && seconds < 20);
      }
    }
    const names = byRank[0]!.map(nameOf);
    assert.is(new Set(names).size, names.length);
    assert.equal(byRank.at(-1)!.map(nameOf), names, 'all ranks measure the same');
    for (const name of [
      'send-recv 8 inside',
      `all-gather ${4 * numRanks * Math.ceil(2 / numRanks)}`,
      'all-reduce 1024',
      'scan 8 ring 1 blocks',
      'scan 1024 all-scan 16 blocks',
      `scan 1024 two-level 1 blocks ${numRanks} a node`,
    ])
      assert.ok(
        names.some((one) => one.startsWith(name)),
        `${name} of ${names.join('; ')}`,
      );
    assert.not(names.includes('scan 1024 all-scan 32 blocks'), 'a state of 16 rows');
    assert.is(names.includes('scan 8 two-level 1 blocks 2 a node'), numRanks % 2 === 0);
  });
}

test('bench collectives ~> scans of every class of M', async () => {
  for (const transition of measuredTransitions.slice(1)) {
    const [cases] = await measure(3, { sizes: [1024], transition });
    const bytes = { scalar: 4, diagonal: 64, dense: 1024 }[transition as string];
    assert.equal(new Set(cases!.map((one) => one.transitionBytes)), new Set([null, bytes]));
  }
});

for (const numRanks of [2, 3]) {
  test(`bench collectives ~> chains of their own, alone and in runs, and no blocks to choose: ${numRanks} ranks`, async () => {
    const byRank = await measure(numRanks, { sizes: [8, 1024], transition: 'diagonal' }, (group) =>
      withChains(group),
    );
    const [first, ...others] = byRank;
    const names = first!.map(nameOf);
    for (const name of [
      'chain 8',
      'chain-run 8',
      'chain 1024',
      'chain-run 1024',
      'scan 1024 all-scan 1 blocks',
    ])
      assert.ok(
        names.some((one) => one.startsWith(name)),
        `${name} of ${names.join('; ')}`,
      );
    assert.not(names.some((name) => name.startsWith('scan 1024 all-scan 2')));
    for (const { op, samplesS, transition, transitionBytes, stateRows } of first!) {
      if (op !== 'chain' && op !== 'chain-run') continue;
      assert.is(samplesS?.length, 2);
      assert.is(transition, 'diagonal');
      assert.ok(transitionBytes! > 0 && stateRows! > 0);
    }
    for (const cases of others) {
      collectivesResultSchema.shape.cases.parse(cases);
      assert.equal(cases.map(nameOf), names);
    }
  });
}

test('bench collectives ~> a chain that brings a wrong value is an error, not a row', async () => {
  const spoilt = (group: Communicator) =>
    withChains(group, (state) => {
      const wrong = state.view([1], state.size - 1);
      wrong.device.native.fill(group.stream.id, wrong.id, 1000.5);
      wrong.release();
    });
  const error = await measure(3, { sizes: [64], strategies: [] }, (group) =>
    group.rank === 2 ? spoilt(group) : withChains(group),
  ).then(
    () => assert.unreachable('it gave rows'),
    (reason: Error) => reason,
  );
  assert.match(
    (error as Error).message,
    /E-BENCH-DATA\] chain, 64 bytes, on rank 2 of 3, forward: element 15 is 1000\.5/,
  );
});

test('bench collectives ~> between nodes, messages of both kinds; rounds add samples to the same cases', async () => {
  const [cases] = await measure(4, { ranksPerNode: 2, numRounds: 2, strategies: [] });
  assert.equal(cases!.slice(0, 4).map(nameOf), [
    ...['send-recv 8 inside', 'burst 8 inside', 'send-recv 8 between', 'burst 8 between'],
  ]);
  for (const { hostS } of cases!) assert.is(hostS.length, 4);
  assert.equal(
    [pairsOf(4, 1), pairsOf(4, 4), pairsOf(8, 4)].map((pairs) => pairs.map(({ to }) => to)),
    [[1], [1], [1, 4]],
  );
});

/** A rank whose messages arrive with one wrong value. */
function corrupted(
  group: Communicator,
  verb: 'exchange' | 'allGather' | 'allReduce' | 'reduceScatter',
): Communicator {
  const spoil = { send: 'exchange', recv: 'exchange' } as Record<string, string>;
  return new Proxy(group, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]) => {
        const result: unknown = value.apply(target, args);
        if (key === verb || spoil[String(key)] === verb) {
          const received =
            key === 'exchange'
              ? (args[1] as { tensor: { id: number } }[])[0]?.tensor
              : args.at(key === 'recv' ? 0 : -1);
          const output = key === 'reduceScatter' || key === 'allGather' ? args[1] : received;
          const tensor = output as Parameters<Communicator['allReduce']>[0] | undefined;
          if (tensor !== undefined && key !== 'send' && typeof tensor === 'object') {
            const wrong = tensor.view([1], tensor.size - 1);
            wrong.device.native.fill(target.stream.id, wrong.id, 1000.5);
            wrong.release();
          }
        }
        return result;
      };
    },
  });
}

for (const [verb, where] of [
  [
    'exchange',
    /E-BENCH-DATA\] send-recv, 64 bytes, on rank [01] of 2: element 15 is 1000\.5, expected -?\d+\. Fix: /,
  ],
  ['allGather', /E-BENCH-DATA\] all-gather, 64 bytes, on rank 1 of 2: element 15 is 1000\.5/],
  ['reduceScatter', /E-BENCH-DATA\] reduce-scatter, 64 bytes, on rank 1 of 2: element 7 is 1000\.5/],
  ['allReduce', /E-BENCH-DATA\] all-reduce, 64 bytes, on rank [01] of 2: element 15 is /],
] as const) {
  test(`bench collectives ~> a wrong value is an error, not a row: ${verb}`, async () => {
    const error = await measure(2, { sizes: [64], strategies: [] }, (group) =>
      group.rank === 1 ? corrupted(group, verb) : group,
    ).then(
      () => assert.unreachable('it gave rows'),
      (reason: Error) => reason,
    );
    assert.match((error as Error).message, where);
  });
}

const broken = (start: Strategy['start']): Strategy =>
  defineStrategy({ name: 'broken', paper: 'none', cost: (size, bytes) => chainCost(size, bytes, 0), start });

for (const [fault, strategy] of [
  [
    'M is dropped',
    broken((local, group, direction) =>
      startChain({ ...local, kind: 'identity', factor: null }, group, direction, 1),
    ),
  ],
  [
    'M is not transposed',
    broken((local, group, direction) => startChain({ ...local, transposed: false }, group, direction, 1)),
  ],
  [
    'nothing is received',
    broken((local, { rank, size, stream }, direction) => {
      const isFirst = rank === (direction === 'forward' ? 0 : size - 1);
      const state = isFirst ? null : empty(local.state.device, local.state.shape, 'f32', stream);
      return { wait: () => state };
    }),
  ],
] as const) {
  test(`bench collectives ~> a strategy is checked against a fold: ${fault}`, async () => {
    const options = {
      sizes: [4096],
      transition: 'dense' as const,
      strategies: [strategy],
    } satisfies Partial<MeasureOptions>;
    const error = await measure(3, options).then(
      () => assert.unreachable('it gave rows'),
      (reason: Error) => reason,
    );
    assert.match(
      (error as Error).message,
      /E-BENCH-DATA\] scan by broken in 1 blocks, 4096 bytes, on rank \d of 3/,
    );
  });
}

test('bench collectives ~> the comparison sees lengths, NaN and values; zeros of both signs are the same', () => {
  const values = (...numbers: number[]) => Float32Array.from(numbers);
  assert.is(firstDifference(values(1, 2, 3), values(1, 2, 3), 0), null);
  assert.is(firstDifference(values(1, -0), values(1, 0), 0), null);
  assert.is(firstDifference(values(1, 2, 4), values(1, 2, 3), 0), 2);
  assert.is(firstDifference(values(1, Number.NaN), values(1, 2), 0.1), 1);
  assert.is(firstDifference(values(1, 2), values(1, 2, 3), 0), 2);
  assert.is(firstDifference(values(100.5), values(100), 0.01), null);
  assert.is(firstDifference(values(102), values(100), 0.01), 0);
});

test('bench collectives ~> states of any size are heads of at most 128 x 128; a fold is made by hand', () => {
  assert.equal(stateShape(8), { H: 1, R: 2, N: 1 });
  assert.equal(stateShape(4 * 64 * 64), { H: 1, R: 64, N: 64 });
  assert.equal(stateShape(2 ** 26), { H: 1024, R: 128, N: 128 });
  assert.equal(stateShape(4 * 15), { H: 15, R: 1, N: 1 });
  const shape = { H: 1, R: 1, N: 4 };
  // Rows by `pattern`: -63 -58 -53 -48 on rank 0, -46 -41 -36 -31 on rank 1, -29 -24 -19 -14 on rank 2.
  const entering = (...args: Parameters<typeof foldedState>) => [...(foldedState(...args) ?? [])];
  assert.equal(entering('identity', shape, 2, 3, 'forward'), [-109, -99, -89, -79]);
  assert.equal(entering('diagonal', shape, 2, 3, 'forward'), [-46 + 63, -41 - 58, -36 + 53, -31 - 48]);
  // M of rank 1 moves a row one place on, with signs -1, 1, -1, 1 of where it comes from.
  assert.equal(entering('dense', shape, 2, 3, 'forward'), [-46 - 48, -41 + 63, -36 - 58, -31 + 53]);
  assert.equal(entering('dense', shape, 0, 3, 'reverse'), [-46 + 24, -41 - 19, -36 + 14, -31 - 29]);
  assert.is(foldedState('dense', shape, 0, 3, 'forward'), null);
});

test('before each size of each round, every rank is told how far it is', async () => {
  const told: string[] = [];
  const onProgress: MeasureOptions['onProgress'] = ({ done, total, next }) =>
    told.push(`${done} of ${total}: ${next}`);
  await measure(2, { sizes: [8, 24], numRounds: 2, strategies: [], onProgress });
  assert.equal(
    told.filter((_, i) => i % 2 === 0),
    [
      '0 of 4: round 1 of 2, 8 bytes',
      '1 of 4: round 1 of 2, 24 bytes',
      '2 of 4: round 2 of 2, 8 bytes',
      '3 of 4: round 2 of 2, 24 bytes',
    ],
  );
  assert.is(told.length, 8);
});

test.run();
