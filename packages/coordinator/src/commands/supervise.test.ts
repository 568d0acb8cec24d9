import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { LongscanError } from '@longscan/worker/protocol';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { RunEvent } from '../run-folder/events.js';
import { readStatus } from '../run-folder/status.js';
import { supervise } from './supervise.js';

const child = fileURLToPath(new URL('supervise.child.js', import.meta.url));
/** Far more than a test waits for; only a signal ends such a run. */
const endless = 1_000_000;

interface Training {
  readonly process: ChildProcess;
  readonly runDir: string;
  /** Resolves with the events so far once one of this kind has come. */
  seen(kind: RunEvent['event']): Promise<RunEvent[]>;
  end(): Promise<{ exitCode: number | null; events: RunEvent[]; stderr: string }>;
}

async function training(
  steps: number,
  body: (training: Training) => Promise<void>,
  fault: object = { kind: 'none' },
): Promise<void> {
  const runDir = mkdtempSync(join(tmpdir(), 'longscan-supervise-'));
  const started = spawn(process.execPath, [child, runDir, String(steps), JSON.stringify(fault)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const deadline = setTimeout(() => started.kill('SIGKILL'), 200_000);
  const exit = once(started, 'exit') as Promise<[number | null]>;
  const events: RunEvent[] = [];
  let stderr = '';
  started.stderr.on('data', (text) => {
    stderr += text;
  });
  const lines = createInterface({ input: started.stdout });
  lines.on('line', (line) => {
    const event = JSON.parse(line) as RunEvent;
    events.push(event);
    lines.emit(`saw ${event.event}`);
  });
  try {
    await body({
      process: started,
      runDir,
      async seen(kind) {
        if (!events.some(({ event }) => event === kind)) await once(lines, `saw ${kind}`);
        return events;
      },
      async end() {
        const [exitCode] = await exit;
        if (!started.stdout.closed) await once(started.stdout, 'close').catch(() => {});
        return { exitCode, events, stderr };
      },
    });
  } finally {
    await exit;
    clearTimeout(deadline);
    rmSync(runDir, { recursive: true, force: true });
  }
}

test('a run that ends by itself: exit code 0, events from run to done', () =>
  training(5, async ({ end }) => {
    const { exitCode, events, stderr } = await end();
    assert.is(stderr, '');
    assert.is(exitCode, 0);
    assert.is(events[0]?.event, 'run');
    assert.equal(
      events.flatMap((event) => (event.event === 'step' ? [event.step] : [])),
      [1, 2, 3, 4, 5],
    );
    assert.is(events.at(-1)?.event, 'done');
  }));

for (const [signal, expected] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  test(`${signal} once: saves, stops, exit code ${expected}`, () =>
    training(endless, async (run) => {
      await run.seen('step');
      run.process.kill(signal);
      const { exitCode, events, stderr } = await run.end();
      assert.is(stderr, `${signal}: saving and stopping after this step; once more ends the run at once\n`);
      assert.is(exitCode, expected);
      const done = events.at(-1);
      assert.ok(done?.event === 'done' && !done.finished);
      assert.ok(events.some((event) => event.event === 'stop' && event.save));
      assert.is((await readStatus(run.runDir)).state, 'stopped');
    }));
}

test('twice: the ranks are ended at once, even one that does not listen', () =>
  training(
    endless,
    async (run) => {
      await run.seen('step');
      run.process.kill('SIGINT');
      await run.seen('stop');
      run.process.kill('SIGINT');
      const { exitCode, events, stderr } = await run.end();
      assert.is(exitCode, 130);
      assert.match(stderr, 'SIGINT: ending the ranks now; nothing more is saved\n');
      assert.is(events.at(-1)?.event, 'error');
    },
    { kind: 'block', rank: 1, step: 3 },
  ));

test('a run that fails: its error on stderr, its exit code', () =>
  training(
    endless,
    async (run) => {
      const { exitCode, events, stderr } = await run.end();
      assert.is(exitCode, 5);
      assert.match(stderr, 'error[E-DIVERGED]');
      const error = events.at(-1);
      assert.ok(error?.event === 'error' && error.exitCode === 5);
    },
    { kind: 'fail', rank: 0, step: 3 },
  ));

test('a reader that goes away and a terminal that closes do not end the training', () =>
  training(200, async (run) => {
    await run.seen('step');
    run.process.stdout?.destroy();
    run.process.stderr?.destroy();
    run.process.kill('SIGHUP');
    const { exitCode } = await run.end();
    assert.is(exitCode, 0);
    assert.is((await readStatus(run.runDir)).step, 200);
  }));

test('a reader that does not read does not hold up the run', () =>
  training(600, async (run) => {
    await run.seen('step');
    run.process.stdout?.pause();
    // 600 steps are far more than a pipe holds. The run ends although nobody reads, and then all of it is there.
    for (;;) {
      const { state, step } = await readStatus(run.runDir);
      if (state !== 'running') {
        assert.is(step, 600);
        break;
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    run.process.stdout?.resume();
    const { events, exitCode } = await run.end();
    assert.is(exitCode, 0);
    assert.is(events.filter(({ event }) => event === 'step').length, 600);
  }));

test('a signal before there is a run: said so, and nothing of saving', async () => {
  const notes: string[] = [];
  const exitCode = await supervise(
    async (signal) => {
      process.emit('SIGTERM', 'SIGTERM');
      assert.ok(signal.aborted);
      throw new LongscanError({ code: 'E-ENDED', where: 'planning', found: 'a signal' });
    },
    { show: async () => {}, note: (text) => notes.push(text) },
  );
  assert.is(exitCode, 143);
  assert.is(notes[0], 'SIGTERM: stopping, no run has begun; once more ends this command at once');
});

test.run();
