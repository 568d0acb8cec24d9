import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mock } from 'node:test';
import { LongscanError, type StepRow } from '@longscan/worker/protocol';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { RankError } from './control/rank-error.js';
import { readRecord } from './run-folder/coordinator-record.js';
import type { RunEvent } from './run-folder/events.js';
import { readStatus } from './run-folder/status.js';
import { requestStop } from './run-folder/stop-request.js';
import { type FakeJob, launchFake } from './testing/fake-job.js';
import { isAlive, rankPids, until } from './testing/processes.js';

async function withRunDir(body: (runDir: string) => Promise<void>): Promise<void> {
  const runDir = mkdtempSync(join(tmpdir(), 'longscan-run-test-'));
  try {
    await body(runDir);
  } finally {
    rmSync(runDir, { recursive: true, force: true });
  }
}

async function collect<T>(iterator: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const one of iterator) all.push(one);
  return all;
}

/** The error of a promise that has to reject. */
async function rejection(promise: Promise<unknown>): Promise<RankError> {
  const outcome: unknown = await promise.then(
    () => null,
    (error: unknown) => error,
  );
  assert.instance(outcome, LongscanError, 'the run succeeded');
  return outcome as RankError;
}

/** Runs a job that is to fail, checks that no process is left, and returns its error. */
async function failure(job: FakeJob, numHeard = job.numRanks): Promise<RankError> {
  const run = await launchFake(job);
  const error = await rejection(run.done);
  const pids = rankPids(job.runDir, job.numRanks).filter((pid) => !Number.isNaN(pid));
  assert.is(pids.length, numHeard);
  assert.equal(pids.filter(isAlive), []);
  const events = await collect(run.events());
  assert.is(events.at(-1)?.event, 'error');
  assert.ok(readRecord(job.runDir)?.endedAt);
  return error;
}

test('a record that the disk refuses ends the run by name, and what comes after it is told beside it', () =>
  withRunDir(async (runDir) => {
    const run = await launchFake({ runDir, numRanks: 2, steps: 1000 });
    // Before the endpoint is known and written: no file can take the place of a folder.
    rmSync(join(runDir, 'coordinator.json'));
    mkdirSync(join(runDir, 'coordinator.json'));
    const error = await rejection(run.done);
    assert.equal([error.code, error.exitCode], ['E-DISK', 3]);
    assert.match(error.message, /coordinator\.json: .*Fix: /);
    assert.equal(
      rankPids(runDir, 2)
        .filter((pid) => !Number.isNaN(pid))
        .filter(isAlive),
      [],
    );
    const events = await collect(run.events());
    assert.is(events.at(-1)?.event, 'error');
    const told = events.flatMap((event) => (event.event === 'incident' ? [event.code] : []));
    assert.ok(told.includes('E-DISK'), 'that the folder is not released');
  }));

test('a run from its first event to its last', () =>
  withRunDir(async (runDir) => {
    const run = await launchFake({ runDir, numRanks: 3, steps: 20 });
    assert.equal(await run.done, { step: 20, validationLoss: 1.5, checkpoint: null });
    const steps: StepRow[] = await collect(run.steps());
    assert.equal(
      steps.map((row) => row.step),
      Array.from({ length: 20 }, (_, i) => i + 1),
    );
    assert.is(steps[0]?.spBytesSent, 4 * 64);
    const events: RunEvent[] = await collect(run.events());
    assert.equal(
      events.map(({ event }) => event).filter((event) => event !== 'step' && event !== 'incident'),
      ['run', 'plan', 'launch', 'rendezvous', 'validation', 'done'],
    );
    const incident = events.find(({ event }) => event === 'incident');
    assert.is(incident?.event === 'incident' && incident.code, 'W-FAKE');
    const status = await readStatus(runDir);
    assert.is(status.state, 'done');
    assert.is(status.step, 20);
    assert.equal(rankPids(runDir, 3).filter(isAlive), []);
  }));

test('readers may be early, slow or late and all see every step', () =>
  withRunDir(async (runDir) => {
    const run = await launchFake({ runDir, numRanks: 2, steps: 50, stepMs: 1 });
    const early = collect(run.steps());
    const slow = (async () => {
      const seen: number[] = [];
      for await (const { step } of run.steps()) {
        seen.push(step);
        if (step === 1) await run.done;
      }
      return seen;
    })();
    await run.done;
    const late = await collect(run.steps());
    const expected = Array.from({ length: 50 }, (_, i) => i + 1);
    assert.equal(
      (await early).map(({ step }) => step),
      expected,
    );
    assert.equal(await slow, expected);
    assert.equal(
      late.map(({ step }) => step),
      expected,
    );
  }));

test('a killed rank ends the run at once, with its name, its log and no orphan', () =>
  withRunDir(async (runDir) => {
    const error = await failure({
      runDir,
      numRanks: 3,
      steps: 1e6,
      fault: { kind: 'kill', rank: 1, step: 5 },
    });
    assert.is(error.code, 'E-RANK-DIED');
    assert.is(error.exitCode, 8);
    assert.is(error.rank, 1);
    assert.match(error.message, /rank 1 on .+ was killed with SIGKILL \(out of memory\?\) after \d+ steps?/);
    assert.match(error.logTail.join('\n'), /fake rank 1 of 3/);
    assert.match(readFileSync(join(runDir, 'logs', 'rank-0.log'), 'utf8'), /aborted: .*rank 1/);
  }));

test('a rank that fails says why, with its own exit code', () =>
  withRunDir(async (runDir) => {
    const error = await failure({
      runDir,
      numRanks: 2,
      steps: 1e6,
      fault: { kind: 'fail', rank: 0, step: 3 },
    });
    assert.is(
      error.message.split('\n')[0],
      'error[E-DIVERGED] rank 0, step 3: the loss is not finite, expected a finite loss. Fix: lower optimizer.lr',
    );
    assert.is(error.exitCode, 5);
    assert.is(error.hint, 'lower optimizer.lr');
  }));

test('a report that is not as it should be ~> the run ends as by an error of that rank', () =>
  withRunDir(async (runDir) => {
    const fault = { kind: 'malformed', rank: 1, step: 3 } as const;
    const error = await failure({ runDir, numRanks: 2, steps: 1e6, fault });
    assert.match(error.message, /^error\[E-WIRE-ENCODE\] rank 1, report 'step': tokens: .*Fix: report this/);
    assert.is(error.exitCode, 1);
  }));

test('a rank that ends without finishing its task is a dead one', () =>
  withRunDir(async (runDir) => {
    const fault = { kind: 'exit', rank: 1, step: 2, exitCode: 0 } as const;
    const error = await failure({ runDir, numRanks: 2, steps: 1e6, fault });
    // That it has ended and what it said last come by different ways.
    assert.match(error.message, /rank 1 on .+ ended without finishing its task after (0 steps|1 step)/);
  }));

test("a rank's exit code is its own, even when it leaves in the middle of a step", () =>
  withRunDir(async (runDir) => {
    const fault = { kind: 'exit', rank: 1, step: 1, exitCode: 3 } as const;
    const error = await failure({ runDir, numRanks: 2, steps: 1e6, fault });
    assert.match(error.message, /rank 1 on .+ ended with exit code 3 after 0 steps/);
  }));

test('a burst of reports that the send queue has room for is read to its end', () =>
  withRunDir(async (runDir) => {
    const steps = 900;
    const run = await launchFake({ runDir, numRanks: 2, steps, stepMs: 0 });
    assert.is((await run.done).step, steps);
    const rows = await collect(run.steps());
    assert.equal(
      rows.map(({ step }) => step),
      Array.from({ length: steps }, (_, i) => i + 1),
    );
  }));

test('a stopped rank is found by its silence', () =>
  withRunDir(async (runDir) => {
    const error = await failure({
      runDir,
      numRanks: 2,
      steps: 1e6,
      fault: { kind: 'stop-process', rank: 1, step: 5 },
      launch: { heartbeatIntervalMs: 100, heartbeatTimeoutMs: 4000 },
    });
    assert.is(error.code, 'E-RANK-SILENT');
    assert.match(error.message, /rank 1: no heartbeat for \d+\.\d s, last heard of /);
  }));

test('a rank whose task is done may take longer to end than a heartbeat may stay away', () =>
  withRunDir(async (runDir) => {
    const fault = { kind: 'linger', rank: 1, step: 0, ms: 6000 } as const;
    const launch = { heartbeatIntervalMs: 100, heartbeatTimeoutMs: 4000 };
    const run = await launchFake({ runDir, numRanks: 2, steps: 3, fault, launch });
    assert.is((await run.done).step, 3);
    assert.equal(rankPids(runDir, 2).filter(isAlive), []);
  }));

test('a rank whose task is done and that does not end is found by that', () =>
  withRunDir(async (runDir) => {
    const error = await failure({
      runDir,
      numRanks: 2,
      steps: 3,
      fault: { kind: 'linger', rank: 1, step: 0, ms: 3_600_000 },
      launch: { stopTimeoutMs: 8000 },
    });
    assert.is(error.code, 'E-RANK-SILENT');
    assert.is(error.rank, 1);
    assert.match(
      error.message,
      /rank 1: its task was done \d+\.\d s ago, and its process has not ended, expected its end within 8000 ms/,
    );
  }));

test('a rank whose main thread is blocked for ever still obeys an abort', () =>
  withRunDir(async (runDir) => {
    const fault = { kind: 'block', rank: 1, step: 2 } as const;
    const run = await launchFake({ runDir, numRanks: 2, steps: 1e6, fault });
    for await (const { event } of run.events()) if (event === 'rendezvous') break;
    await run.kill();
    assert.is((await rejection(run.done)).code, 'E-RUN-KILLED');
    assert.equal(rankPids(runDir, 2).filter(isAlive), []);
  }));

test('a missing rank is named when the time for hellos is over', () =>
  withRunDir(async (runDir) => {
    // It is over once the others have come, however long that takes them.
    mock.timers.enable({ apis: ['setTimeout'] });
    try {
      const fault = { kind: 'absent', rank: 2, step: 0 } as const;
      const failed = failure({ runDir, numRanks: 3, steps: 10, fault }, 2);
      await until(() => !rankPids(runDir, 2).some(Number.isNaN));
      mock.timers.tick(60_000);
      assert.match((await failed).message, /rank 2 of 3 did not say hello within 60000 ms/);
    } finally {
      mock.timers.reset();
    }
  }));

/** Waits until ranks 1 and 2 of a fake run wait for the checkpoint of rank 0; gives whose logs have a text. */
async function othersWait(runDir: string): Promise<(text: string) => number[]> {
  const whose = (text: string) =>
    [0, 1, 2].filter((rank) => {
      const log = join(runDir, 'logs', `rank-${rank}.log`);
      return existsSync(log) && readFileSync(log, 'utf8').includes(text);
    });
  await until(() => whose('waits for the checkpoint').length === 2);
  return whose;
}

test('all ranks go on when rank 0 has saved', () =>
  withRunDir(async (runDir) => {
    const saveGate = join(runDir, 'gate');
    const run = await launchFake({ runDir, numRanks: 3, steps: 2, saveGate });
    const whose = await othersWait(runDir);
    assert.equal(whose('goes on'), []);
    writeFileSync(saveGate, '');
    await run.done;
    assert.equal(whose('goes on, saved'), [0, 1, 2]);
  }));

test('ranks that wait for rank 0 to save end with it', () =>
  withRunDir(async (runDir) => {
    const run = await launchFake({ runDir, numRanks: 3, steps: 2, saveGate: join(runDir, 'gate') });
    const whose = await othersWait(runDir);
    const pids = rankPids(runDir, 3);
    process.kill(pids[0]!, 'SIGKILL');
    const error = await rejection(run.done);
    assert.equal([error.code, error.rank], ['E-RANK-DIED', 0]);
    assert.equal(pids.filter(isAlive), []);
    assert.equal(whose('error[E-RANK-ABORT]'), [1, 2]);
    assert.equal(whose('goes on'), []);
  }));

test('stop ends a run after the step under way', () =>
  withRunDir(async (runDir) => {
    const run = await launchFake({ runDir, numRanks: 2, steps: 1e6 });
    for await (const { step } of run.steps()) if (step === 3) break;
    await run.stop();
    const { step } = await run.done;
    assert.ok(step >= 3 && step < 1e6);
    assert.is((await readStatus(runDir)).state, 'stopped');
  }));

test('a stop asked for before the ranks have come', () =>
  withRunDir(async (runDir) => {
    const run = await launchFake({ runDir, numRanks: 2, steps: 1e6 });
    await run.stop({ save: false });
    assert.ok((await run.done).step < 1e6);
  }));

test('another process may ask for the stop through the run folder', () =>
  withRunDir(async (runDir) => {
    const run = await launchFake({ runDir, numRanks: 1, steps: 1e6 });
    for await (const { step } of run.steps()) if (step === 3) break;
    await requestStop(runDir, { save: true });
    assert.is((await readStatus(runDir)).state, 'stopped');
    assert.ok((await run.done).step >= 3);
  }));

test.run();
