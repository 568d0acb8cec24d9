import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Report } from '@longscan/worker/protocol';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type FakeJob, fakeLaunch, fakePlan, fakeTexts } from '../testing/fake-job.js';
import { RankSession, type SessionOutcome } from './rank-session.js';

/** Fake ranks of a coordinator that is busy with each of their steps for so long; how they ended. */
async function readSlowly(job: Omit<FakeJob, 'runDir'>, busyMs: number): Promise<SessionOutcome> {
  const runDir = mkdtempSync(join(tmpdir(), 'longscan-session-test-'));
  try {
    const plan = fakePlan(job);
    const { launcher, request } = await fakeLaunch(plan, { ...job, runDir });
    const session = await RankSession.start(
      {
        assignment: {
          jobId: 'fake',
          epoch: 1,
          attempt: 1,
          task: { kind: 'train', texts: fakeTexts },
          plan,
          runDir,
          resumeFrom: null,
          jobHash: 'fake',
          layerModules: {},
          codeHashes: {},
        },
        launcher,
        request,
        timeouts: {
          rendezvousMs: 60_000,
          heartbeatIntervalMs: 100,
          heartbeatTimeoutMs: 60_000,
          collectiveMs: 60_000,
          stopMs: 60_000,
        },
        host: '127.0.0.1',
      },
      {
        onReport: (_rank: number, report: Report) => {
          if (report.type !== 'step') return;
          const until = performance.now() + busyMs;
          while (performance.now() < until);
        },
        onRendezvous: () => {},
        onRefused: (error) => {
          throw error;
        },
      },
    );
    return await session.ended;
  } finally {
    rmSync(runDir, { recursive: true, force: true });
  }
}

test('a Done behind seconds of reports is read, by a coordinator that comes around between them', async () => {
  const steps = 2500;
  const outcome = await readSlowly({ numRanks: 2, steps, stepMs: 0 }, 1);
  assert.ok(outcome.ok, outcome.ok ? '' : outcome.error.message);
  assert.equal(
    outcome.results.map((result) => (result as { step: number }).step),
    [steps, steps],
  );
});

test.run();
