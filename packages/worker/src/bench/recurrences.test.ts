import { type Communicator, createInProcessGroup, LongscanError, openCpuDevice } from '@longscan/kernels';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { benchRecurrences } from '../protocol/bench.js';
import { type RecurrencesResult, recurrencesResultSchema } from '../protocol/recurrences.js';
import { measureRecurrences, tryOnAll } from './recurrences.js';

type Task = Parameters<typeof measureRecurrences>[1];

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

async function measure(numRanks: number, task: Partial<Task>): Promise<RecurrencesResult['cases'][]> {
  const all: Task = { ops: ['gla'], shapes: [shape], dtype: 'f32', numRounds: 2, ...task };
  const byRank = await onRanks(numRanks, (group) => measureRecurrences(group, all));
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
  const byRank = await measure(3, { shapes: [{ ...shape, T: 150 }], strategies: ['ring'] });
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
  const [cases] = await measure(2, { strategies: ['all-gather'], shapes: [shape, { ...shape, T: 64 }] });
  assert.equal(
    timesOf(cases!).map(({ T, pass, strategy }) => `${T} ${pass} ${strategy}`),
    [140, 64].flatMap((T) =>
      ['forward', 'both'].flatMap((pass) => [`${T} ${pass} null`, `${T} ${pass} all-gather`]),
    ),
  );
});

test('bench recurrences ~> what has no room is told, the others are measured', async () => {
  const huge = { ...shape, T: 900_000_000, H: 800 };
  const byRank = await measure(2, { shapes: [huge, shape], strategies: ['ring'] });
  for (const cases of byRank) {
    assert.is(timesOf(cases).length, 4);
    const [row, ...more] = missingOf(cases);
    assert.equal(more, []);
    assert.is(row!.T, huge.T);
    assert.match(row!.missing!, /^error\[E-MEMORY\] .* Fix: a smaller T in --shape, or more ranks$/);
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
