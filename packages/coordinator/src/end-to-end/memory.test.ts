import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { z } from 'zod';
import { planJob } from '../plan/index.js';
import { bundleLayers, withBundleFiles } from '../run-folder/bundle-layer.js';
import { runOnRanks } from '../run-task.js';
import { loadJob } from '../spec/index.js';

const examples = join(import.meta.dirname, '../../../../examples');
const jobFiles = readdirSync(examples, { recursive: true, encoding: 'utf8' })
  .filter((name) => /^[^/]*\/job\.toml$/.test(name))
  .sort();

const rankSchema = z.object({ peakBytes: z.number(), reservedBytes: z.number() });

/** How much shorter sequences are than the example's, and how long at most, so that a step takes no time. */
const shorter = 16;
const longest = 8192;
/** Which free memory serves a tensor may depend on when another stream was done with it. */
const tolerance = 0.02;

for (const name of jobFiles) {
  test(`memory ~> what the plan of ${name} says is what its ranks hold`, async () => {
    const file = join(examples, name);
    const whole = await loadJob(file, { readsText: false });
    const sequenceLength = Math.min(longest, Math.max(256, whole.jobSpec.data.sequenceLength / shorter));
    const overrides = [`data.sequenceLength=${sequenceLength}`];
    const { jobSpec } = await loadJob(file, { overrides, readsText: false });
    await withBundleFiles(await bundleLayers(jobSpec.model.layers), async (modules) => {
      const plan = await planJob(
        { ...jobSpec, data: { ...jobSpec.data, packing: false, separator: null } },
        modules,
      );
      const task = { kind: 'bench-step', numWarmUps: 1, numSteps: 2 } as const;
      const signal = AbortSignal.timeout(300_000);
      const ranks = (await runOnRanks(task, plan, modules, { signal })).map((rank) => rankSchema.parse(rank));
      for (const key of ['peakBytes', 'reservedBytes'] as const) {
        const measured = Math.max(...ranks.map((rank) => rank[key]));
        const error = plan.perRank[key] / measured - 1;
        assert.ok(Math.abs(error) <= tolerance, `${key}: ${plan.perRank[key]} of ${measured} measured`);
      }
    });
  });
}

test.run();
