import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { acquireRunFolder, ownRecord, readRecord } from './run-folder/coordinator-record.js';
import { readStatus } from './run-folder/status.js';
import type { FakeJob } from './testing/fake-job.js';
import { isAlive, rankPids, readText, stateOf, until } from './testing/processes.js';

const numRanks = 2;

interface Fixture {
  readonly runDir: string;
  readonly coordinator: ChildProcess;
  readonly pids: readonly number[];
  /** Path of the file that the ranks' last step waits for. */
  readonly gate: string;
}

/** A coordinator in a process group of its own, as a shell would start it, whose ranks have begun to train. */
async function withCoordinator(
  job: Partial<FakeJob>,
  body: (fixture: Fixture) => Promise<void>,
): Promise<void> {
  const runDir = mkdtempSync(join(tmpdir(), 'longscan-death-test-'));
  const program = fileURLToPath(new URL('testing/fake-coordinator.js', import.meta.url));
  const gate = join(runDir, 'gate');
  const argument: FakeJob = { runDir, numRanks, steps: 1e6, gate, ...job };
  const coordinator = spawn(process.execPath, [program, JSON.stringify(argument)], {
    detached: true,
    stdio: 'ignore',
  });
  try {
    const hasBegun = (rank: number): boolean =>
      /peers:/.test(readText(join(runDir, 'logs', `rank-${rank}.log`)));
    await until(() => Array.from({ length: numRanks }, (_, rank) => rank).every(hasBegun));
    await body({ runDir, coordinator, pids: rankPids(runDir, numRanks), gate });
  } finally {
    coordinator.kill('SIGKILL');
    rmSync(runDir, { recursive: true, force: true });
  }
}

test('a killed coordinator leaves no rank behind, and its run folder can be taken over', () =>
  withCoordinator({}, async ({ runDir, coordinator, pids }) => {
    coordinator.kill('SIGKILL');
    await until(() => !pids.some(isAlive));
    assert.match(readText(join(runDir, 'logs', 'rank-0.log')), /aborted: the coordinator is gone/);
    assert.is((await readStatus(runDir)).state, 'died');
    const died = acquireRunFolder(runDir, ownRecord('next'));
    assert.is(died?.pid, coordinator.pid);
  }));

test('a rank whose main thread is blocked for ever ends with its coordinator', () =>
  withCoordinator({ fault: { kind: 'block', rank: 1, step: 1 } }, async ({ runDir, coordinator, pids }) => {
    coordinator.kill('SIGKILL');
    await until(() => !pids.some(isAlive));
    assert.match(
      readText(join(runDir, 'logs', 'rank-1.log')),
      /killed: the coordinator is gone, and the main thread did not end within the grace period/,
    );
  }));

test('Ctrl-C reaches the coordinator alone, which stops the run in good order', () =>
  withCoordinator({}, async ({ runDir, coordinator, pids }) => {
    process.kill(-coordinator.pid!, 'SIGINT');
    const [exitCode] = (await once(coordinator, 'exit')) as [number | null];
    assert.is(exitCode, 0);
    assert.is((await readStatus(runDir)).state, 'stopped');
    assert.not.ok(pids.some(isAlive));
  }));

test('a coordinator that was merely stopped goes on with its run', () =>
  withCoordinator(
    { launch: { heartbeatIntervalMs: 50, heartbeatTimeoutMs: 4000 } },
    async ({ runDir, coordinator, pids }) => {
      coordinator.kill('SIGSTOP');
      // Longer than the ranks' own heartbeat timeout: nothing may come of the coordinator's absence.
      await new Promise((resolve) => setTimeout(resolve, 6000));
      assert.ok(pids.every(isAlive));
      coordinator.kill('SIGCONT');
      const { step } = await readStatus(runDir);
      await until(
        () => Number(readText(join(runDir, 'metrics.jsonl')).match(/"step":(\d+),/g)?.length) > step + 100,
      );
      coordinator.kill('SIGINT');
      await once(coordinator, 'exit');
      assert.is((await readStatus(runDir)).state, 'stopped');
    },
  ));

test('ranks that a stopped coordinator cannot tell of a checkpoint wait for it, rank 0 too', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'longscan-death-test-'));
  const saveGate = join(folder, 'saved');
  const job = { steps: 10, gate: '', saveGate };
  await withCoordinator(job, async ({ runDir, coordinator, pids }) => {
    const numLogsWith = (line: RegExp): number =>
      pids.filter((_, rank) => line.test(readText(join(runDir, 'logs', `rank-${rank}.log`)))).length;
    const waits = /^waits for the checkpoint$/m;
    const goesOn = /^goes on, saved$/m;
    await until(() => numLogsWith(waits) === numRanks - 1);
    coordinator.kill('SIGSTOP');
    await until(() => stateOf(coordinator.pid!) === 'T');
    writeFileSync(saveGate, '');
    await until(() => numLogsWith(waits) === numRanks);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    assert.is(numLogsWith(goesOn), 0);
    coordinator.kill('SIGCONT');
    const [exitCode] = (await once(coordinator, 'exit')) as [number | null];
    assert.is(exitCode, 0);
    assert.is(numLogsWith(goesOn), numRanks);
  });
  rmSync(folder, { recursive: true });
});

/** Stops the coordinator, then lets the ranks do the rest of their task, after which they must not end. */
async function stopUntilTasksAreDone({ runDir, coordinator, pids, gate }: Fixture): Promise<void> {
  coordinator.kill('SIGSTOP');
  await until(() => stateOf(coordinator.pid!) === 'T');
  writeFileSync(gate, '');
  await until(() =>
    pids.every((_, rank) => /^task done$/m.test(readText(join(runDir, 'logs', `rank-${rank}.log`)))),
  );
  await new Promise((resolve) => setTimeout(resolve, 1000));
  assert.ok(pids.every(isAlive), 'a rank ended before its Done was read');
}

test('ranks whose task is done wait for a coordinator that is stopped', () =>
  withCoordinator({ steps: 10 }, async (fixture) => {
    await stopUntilTasksAreDone(fixture);
    fixture.coordinator.kill('SIGCONT');
    const [exitCode] = (await once(fixture.coordinator, 'exit')) as [number | null];
    assert.is(exitCode, 0);
    assert.is((await readStatus(fixture.runDir)).state, 'done');
    assert.not.ok(fixture.pids.some(isAlive));
  }));

test('ranks whose task is done do not wait for a coordinator that is gone', () =>
  withCoordinator({ steps: 10 }, async (fixture) => {
    await stopUntilTasksAreDone(fixture);
    fixture.coordinator.kill('SIGKILL');
    await until(() => !fixture.pids.some(isAlive));
  }));

test('a rank that quits while it waits for a coordinator that is stopped does not crash', () =>
  withCoordinator(
    { steps: 10, fault: { kind: 'quit', rank: 1, step: 0, exitCode: 3 } },
    async ({ runDir, coordinator, pids, gate }) => {
      coordinator.kill('SIGSTOP');
      await until(() => stateOf(coordinator.pid!) === 'T');
      writeFileSync(gate, '');
      await until(() => !isAlive(pids[1]!));
      coordinator.kill('SIGCONT');
      await once(coordinator, 'exit');
      // It has done its task: whether its exit code counts depends on who else is still there.
      const { state, error } = await readStatus(runDir);
      assert.ok(state === 'done' || /ended with exit code 3 after/.test(error!.message), error?.message);
    },
  ));

test('a live run folder is refused to others, with the name of who holds it', () =>
  withCoordinator({}, async ({ runDir, coordinator }) => {
    assert.is(readRecord(runDir)?.pid, coordinator.pid);
    assert.throws(
      () => acquireRunFolder(runDir, ownRecord('intruder')),
      new RegExp(`E-LOCK.*process ${coordinator.pid} on .* has been using it`),
    );
    assert.is(readRecord(runDir)?.pid, coordinator.pid);
  }));

test.run();
