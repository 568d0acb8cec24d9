import {
  type Communicator,
  createInProcessGroup,
  empty,
  LongscanError,
  openCpuDevice,
} from '@longscan/kernels';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { benchRecurrences } from '../protocol/bench.js';
import { type RecurrencesResult, recurrencesResultSchema } from '../protocol/recurrences.js';
import allGather from '../sp/all-gather.js';
import ring from '../sp/ring.js';
import type { Strategy } from '../strategy.js';
import { type MeasureOptions, measureRecurrences } from './recurrences.js';
import { tryOnAll } from './try-on-all.js';

const shape = { B: 1, T: 140, H: 2, K: 8, V: 16 };
const strategies = ['all-gather', 'all-scan', 'doubling-scan', 'ring', 'two-level'];

/** The same on all ranks of a group in this process. */
async function onRanks<T>(numRanks: number, run: (group: Communicator) => Promise<T>): Promise<T[]> {
  const devices = Array.from({ length: numRanks }, () => openCpuDevice({ poison: true }));
  const group = createInProcessGroup(devices, { timeoutMs: 20_000 });
  try {
    const results = await Promise.all(group.map(run));
    for (const device of devices) assert.is(device.memory().inUseBytes, 0);
    return results;
  } finally {
    for (const communicator of group) communicator.close();
    for (const device of devices) device.close();
  }
}

async function measure(
  numRanks: number,
  some: Partial<MeasureOptions>,
): Promise<RecurrencesResult['cases'][]> {
  const usual: MeasureOptions = { ops: ['gla'], shapes: [shape], dtype: 'f32', numRounds: 2 };
  const byRank = await onRanks(numRanks, (group) => measureRecurrences(group, { ...usual, ...some }));
  for (const cases of byRank) recurrencesResultSchema.shape.cases.parse(cases);
  return byRank;
}

const timesOf = (cases: RecurrencesResult['cases']) =>
  cases.flatMap((row) => ('missing' in row ? [] : [row]));
const missingOf = (cases: RecurrencesResult['cases']) =>
  cases.flatMap((row) => ('missing' in row ? [row] : []));

test('bench recurrences ~> every recurrence, both passes, alone and under every strategy that it can have', async () => {
  const [rank, other] = await measure(2, { ops: [...benchRecurrences] });
  const rows = timesOf(rank!);
  for (const op of benchRecurrences) {
    for (const pass of ['forward', 'both']) {
      const found = rows.filter((row) => row.op === op && row.pass === pass);
      const names = [...new Set(found.map(({ strategy }) => strategy))];
      // A cell that is not linear in its state goes from rank to rank.
      assert.equal(names, op === 'slstm' ? [null, 'ring'] : [null, ...strategies], `${op} ${pass}`);
      for (const { strategy, samplesMs, bytesSent, extraBytes, T } of found) {
        assert.is(T, shape.T);
        assert.is(samplesMs.length, 2);
        assert.ok(samplesMs.every((ms) => ms > 0) && extraBytes > 0);
        assert.is(bytesSent > 0, strategy !== null, `${op} ${pass} ${strategy}`);
      }
    }
  }
  const refused = missingOf(rank!).map(
    ({ op, strategy, missing }) => `${op} ${strategy} ${missing!.slice(0, 18)}`,
  );
  assert.equal(
    refused,
    strategies.filter((name) => name !== 'ring').map((name) => `slstm ${name} error[E-STRATEGY] `),
  );
  const whatOf = (cases: RecurrencesResult['cases']) =>
    timesOf(cases).map(({ samplesMs: _, bytesSent: __, extraBytes: ___, ...what }) => what);
  assert.equal(whatOf(other!), whatOf(rank!));
});

test('bench recurrences ~> what ranks send is the states: one each way along a chain, none alone', async () => {
  const byRank = await measure(3, { shapes: [{ ...shape, T: 150 }], strategies: [ring] });
  const state = 4 * shape.B * shape.H * shape.K * shape.V;
  const sent = byRank.map((cases) =>
    timesOf(cases).map(({ strategy, pass, bytesSent }) => [strategy, pass, bytesSent]),
  );
  assert.equal(
    sent,
    [
      [state, state],
      [state, 2 * state],
      [0, state],
    ].map(([forward, both]) => [
      [null, 'forward', 0],
      ['ring', 'forward', forward],
      [null, 'both', 0],
      ['ring', 'both', both],
    ]),
  );
});

test('bench recurrences ~> a strategy of the user alone', async () => {
  const [cases] = await measure(2, { strategies: [allGather], shapes: [shape, { ...shape, T: 64 }] });
  assert.equal(
    timesOf(cases!).map(({ T, pass, strategy }) => `${T} ${pass} ${strategy}`),
    [140, 64].flatMap((T) =>
      ['forward', 'both'].flatMap((pass) => [`${T} ${pass} null`, `${T} ${pass} all-gather`]),
    ),
  );
});

test('bench recurrences ~> what has no room is told, the others are measured', async () => {
  const huge = { ...shape, T: 900_000_000, H: 800 };
  const byRank = await measure(2, { shapes: [huge, shape], strategies: [ring] });
  for (const cases of byRank) {
    assert.is(timesOf(cases).length, 4);
    const [row, ...more] = missingOf(cases);
    assert.equal(more, []);
    assert.is(row!.T, huge.T);
    assert.match(row!.missing!, /^error\[E-MEMORY\] .* Fix: a smaller T in --shape, or more ranks$/);
  }
});

test('bench recurrences ~> a way to cross the ranks that one rank has no room for is told, on all alike; the others are measured', async () => {
  const greedy: Strategy = {
    ...ring,
    name: 'greedy',
    takes: 'blocks',
    start(local, group, direction, options) {
      // Ranks before it have enqueued what they send by then, those behind it what they wait for.
      const pending = ring.start(local, group, direction, options);
      if (group.rank === 1 && direction === 'reverse' && options.blocks === 2)
        empty(local.state.device, [2 ** 46], 'f32', group.stream);
      return pending;
    },
  };
  const told: string[] = [];
  const byRank = await measure(3, {
    ...{ shapes: [{ ...shape, T: 150 }], strategies: [greedy, ring] },
    onProgress: ({ done, total, next }) => told.push(`${done} of ${total}: ${next}`),
  });
  assert.equal(told, new Array(3).fill('0 of 1: gla, T = 150'));
  const missing = byRank.map(missingOf);
  for (const [row, ...more] of missing) {
    assert.equal(more, []);
    assert.equal([row!.strategy, row!.blocks, row!.ranksPerNode], ['greedy', 2, 3]);
  }
  assert.match(missing[1]![0]!.missing!, /^error\[E-MEMORY\] .* Fix: a smaller T in --shape, or more ranks$/);
  assert.equal([missing[0]![0]!.missing, missing[2]![0]!.missing], [null, null]);
  for (const cases of byRank) {
    const ways = timesOf(cases).map(({ pass, strategy, blocks }) => `${pass} ${strategy} ${blocks}`);
    assert.equal(
      ways,
      ['forward', 'both'].flatMap((pass) => [
        `${pass} null null`,
        ...[1, 4, 8, 16].map((blocks) => `${pass} greedy ${blocks}`),
        `${pass} ring 1`,
      ]),
    );
  }
});

test('bench recurrences ~> what one rank cannot run no rank goes on with', async () => {
  const failing = new LongscanError({ code: 'E-MEMORY', where: 'here', found: 'no room', exitCode: 3 });
  const outcomes = await onRanks(3, (communicator) =>
    tryOnAll(communicator, () => {
      if (communicator.rank === 1) throw failing;
      return communicator.rank;
    }),
  );
  const own = 'error[E-MEMORY] here: no room. Fix: a smaller T in --shape, or more ranks';
  assert.equal(outcomes, [{ missing: null }, { missing: own }, { missing: null }]);
  assert.equal(
    await onRanks(3, (communicator) => tryOnAll(communicator, () => communicator.rank)),
    [0, 1, 2].map((result) => ({ result })),
  );
});

test.run();
