import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  type Launcher,
  type LaunchRequest,
  listLaunchers,
  loadLauncher,
  type RankExit,
  type Submission,
} from './launcher.js';

/** Conformance of every file in launchers/: a new one is picked up by itself. */

const plan = { mesh: { numRanks: 3 }, jobSpec: { device: { threads: 'auto' } } } as const;

/** A rank that prints its environment and then lives for ever or ends with a code. */
const program = `
  const names = ['RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'OMP_NUM_THREADS', 'LONGSCAN_FROM_SESSION'];
  console.log(names.map((name) => process.env[name]).join(' '));
  console.log(process.argv.slice(1).join(' '));
  if (process.env.RANK === '1') process.exit(7);
  setInterval(() => {}, 1000);
`;
/** An argument that a shell would not leave alone. */
const awkward = 'a b; $(exit) "c" *';

function request(launcher: Launcher, logDir: string): LaunchRequest {
  return launcher.request(plan, { command: [process.execPath, '-e', program, awkward], logDir, numCores: 8 });
}

for (const name of listLaunchers()) {
  test(`${name}: has its file's name`, async () => {
    assert.is((await loadLauncher(name)).name, name);
  });

  test(`${name}: a request is pure data, the same each time, one process per rank`, async () => {
    const launcher = await loadLauncher(name);
    const made = request(launcher, '/logs');
    assert.equal(made, request(launcher, '/logs'));
    assert.equal(JSON.parse(JSON.stringify(made)), made);
    assert.is(made.launcher, name);
    assert.equal(
      made.ranks.map(({ rank, env }) => [rank, env.RANK, env.WORLD_SIZE]),
      [
        [0, '0', '3'],
        [1, '1', '3'],
        [2, '2', '3'],
      ],
    );
    for (const { env } of made.ranks) assert.ok(Number(env.OMP_NUM_THREADS) >= 1);
    assert.is(new Set(made.ranks.map(({ host, env }) => `${host} ${env.LOCAL_RANK}`)).size, 3);
    assert.is(new Set(made.ranks.map(({ logPath }) => logPath)).size, 3);
  });

  test(`${name}: starts ranks without a shell, reports each end once, cancels twice, keeps logs`, async () => {
    const logDir = mkdtempSync(join(tmpdir(), 'longscan-launcher-test-'));
    const launcher = await loadLauncher(name);
    const exits: RankExit[] = [];
    const submission = await launcher.submit(request(launcher, logDir), {
      env: (rank) => ({ LONGSCAN_FROM_SESSION: `session-${rank}` }),
      onExit: (exit) => exits.push(exit),
    });
    try {
      await untilLogged(submission, [0, 1, 2]);
      assert.equal(await submission.logs(2, 10), ['2 2 3 2 session-2', awkward]);
      assert.equal(await submission.logs(2, 1), [awkward]);
      while (exits.length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
      assert.equal([exits[0]?.rank, exits[0]?.exitCode, exits[0]?.signal], [1, 7, null]);
      await Promise.all([submission.cancel(), submission.cancel()]);
      await submission.cancel();
      assert.equal(exits.map(({ rank }) => rank).sort(), [0, 1, 2]);
      const states = await submission.describe();
      assert.equal(
        states.map(({ rank, exit }) => [rank, exit?.exitCode ?? exit?.signal]),
        [
          [0, 'SIGKILL'],
          [1, 7],
          [2, 'SIGKILL'],
        ],
      );
    } finally {
      await submission.cancel();
      rmSync(logDir, { recursive: true, force: true });
    }
  });

  test(`${name}: a launch that goes on in the same logs tells its own lines alone`, async () => {
    const logDir = mkdtempSync(join(tmpdir(), 'longscan-launcher-test-'));
    const launcher = await loadLauncher(name);
    const session = { env: (rank: number) => ({ LONGSCAN_FROM_SESSION: `of-${rank}` }), onExit: () => {} };
    try {
      for (let launch = 1; launch <= 2; launch++) {
        const submission = await launcher.submit(request(launcher, logDir), session);
        try {
          await untilLogged(submission, [0]);
          assert.equal(await submission.logs(0, 10), ['0 0 3 2 of-0', awkward]);
        } finally {
          await submission.cancel();
        }
      }
    } finally {
      rmSync(logDir, { recursive: true, force: true });
    }
  });

  test(`${name}: a program that cannot be started is an exit with the reason`, async () => {
    const logDir = mkdtempSync(join(tmpdir(), 'longscan-launcher-test-'));
    const launcher = await loadLauncher(name);
    const exits: RankExit[] = [];
    const made = launcher.request(plan, { command: ['/nonexistent/program'], logDir, numCores: 1 });
    const submission = await launcher.submit(made, { env: () => ({}), onExit: (exit) => exits.push(exit) });
    await submission.cancel();
    assert.is(exits.length, 3);
    for (const exit of exits) assert.match(exit.startError ?? '', /ENOENT/);
    rmSync(logDir, { recursive: true, force: true });
  });
}

test('an unknown launcher, or a path instead of a name, is refused with the names there are', async () => {
  for (const name of ['slurmm', '../launcher', 'local.js', '']) {
    const message = await loadLauncher(name).then(
      () => 'loaded',
      (error: Error) => error.message,
    );
    assert.match(message, /error\[E-REG\] launch\.launcher: unknown launcher .* expected one of .*local/);
  }
});

async function untilLogged(submission: Submission, ranks: readonly number[]): Promise<void> {
  for (const rank of ranks) {
    while ((await submission.logs(rank, 2)).length < 2)
      await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test.run();
