import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { launchBy } from '../launch.js';
import { StandingRanks } from '../testing/standing-ranks.js';
import { listUnits } from '../units.js';
import { stepRows } from './small-job.js';

const job = fileURLToPath(new URL('../../../../examples/hybrid/job.toml', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'longscan-hybrid-'));
const ranks = new StandingRanks();
test.after(() => rmSync(folder, { recursive: true, force: true }));

/** The example, small enough to run under every pair of strategies. */
const reduced = {
  'job.steps': 3,
  'model.dModel': 32,
  'model.chunk': 16,
  'model.mlp': 64,
  'data.sequenceLength': 400,
  'data.validation': 0,
  'data.baseline': 'none',
  'checkpoint.every': 0,
  'device.threads': 1,
};

async function train(name: string, overrides: Readonly<Record<string, unknown>>) {
  const run = await launchBy(ranks.launcherOf, job, {
    runDir: join(folder, name),
    overrides: { ...reduced, ...overrides },
    // In case a rank waits for another one for good.
    signal: AbortSignal.timeout(300_000),
  });
  await run.done;
  return { plan: run.plan, steps: stepRows(run.dir) };
}

test('a hybrid on packed documents ~> the losses of one rank and the bytes of the plan under every pair of strategies', async () => {
  const alone = await train('alone', { 'parallel.sp': 1 });
  assert.is(alone.steps.length, 3);
  for (const strategy of listUnits('sp')) {
    for (const attentionStrategy of listUnits('attention-strategies')) {
      const pair = `${strategy} and ${attentionStrategy}`;
      const { plan, steps } = await train(`${strategy}-${attentionStrategy}`, {
        'parallel.sp': 2,
        'parallel.strategy': strategy,
        'parallel.attentionStrategy': attentionStrategy,
      });
      assert.is(plan.attentionStrategy, attentionStrategy);
      const { bytesSentByRank } = plan.modelled.find((row) => row.strategy === strategy)!;
      for (const [i, { loss, perRank }] of steps.entries()) {
        const expected = alone.steps[i]!.loss!;
        assert.ok(Math.abs(loss! / expected - 1) < 1e-4, `${pair}, step ${i + 1}: ${loss}, not ${expected}`);
        const sent = perRank.map((rank) => rank!.spBytesSentForward + rank!.spBytesSentBackward);
        assert.equal(sent, bytesSentByRank, `${pair}, step ${i + 1}`);
      }
    }
  }
});

test.run();
