import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type DurableFs, nodeFs, verifyCheckpoint } from '../checkpoint/index.js';
import { hookedFs, sampleContext } from '../checkpoint/testing.js';
import { Deferred } from '../control/deferred.js';
import { type JobSpec, jobSpecSchema } from '../protocol/job-spec.js';
import type { Report } from '../protocol/messages.js';
import { openTrainingRanks } from '../testing/training-ranks.js';
import { CheckpointSaver } from './checkpoint-saver.js';

const lengths = [32, 32, 32];
const step = 4;

function jobOf(zero: number): JobSpec {
  return jobSpecSchema.parse({
    model: {
      ...{ dModel: 16, numLayers: 1, numHeads: 2, vocabSize: 24, mlp: 16 },
      layers: [{ use: 'gla', options: {}, file: null }],
    },
    data: { path: 'unused', sequenceLength: 96 },
    parallel: { zero },
  });
}

/** Savers of ranks whose coordinator passes on what rank 0 reports. */
async function openSavers(runDir: string, jobSpec: JobSpec, fs: DurableFs) {
  const ranks = await openTrainingRanks(jobSpec, { lengths, strategy: 'ring' });
  const saved = new Deferred<void>();
  const reports: Report[] = [];
  const savers = ranks.map((training) => {
    const context = {
      assignment: { jobHash: 'unused', codeHashes: {} },
      control: {
        report: (message: Report) => {
          reports.push(message);
          saved.resolve();
        },
        checkpointSaved: () => saved.promise,
      },
      progress: new Int32Array(3),
      runDir,
    };
    return new CheckpointSaver(context, { jobSpec, mesh: { sp: 3, dp: 1, numRanks: 3 } }, training, fs);
  });
  return { ranks, savers, reports };
}

for (const zero of [0, 1]) {
  test(`a checkpoint, zero ${zero} ~> the other ranks go on once it is on disk, and not before`, async () => {
    const runDir = mkdtempSync(join(tmpdir(), 'longscan-saver-test-'));
    const disk = new Deferred<void>();
    const isAsked = new Deferred<void>();
    const slow = hookedFs(nodeFs, async (operation) => {
      if (!operation.startsWith('rename')) return;
      isAsked.resolve();
      await disk.promise;
    });
    const { ranks, savers, reports } = await openSavers(runDir, jobOf(zero), slow);
    const gone: number[] = [];
    const saves = savers.map(async (saver, rank) => {
      await saver.save(step, sampleContext(step));
      gone.push(rank);
    });
    // All tensors have been read by then, so nothing on the devices keeps anybody.
    await isAsked.promise;
    await Promise.all(ranks.map(({ device }) => device.compute.sync()));
    await setImmediate();
    assert.equal(gone, []);
    disk.resolve();
    await Promise.all(saves);
    assert.equal(gone.toSorted(), [0, 1, 2]);
    assert.equal(
      reports.map((report) => report.type === 'checkpoint' && [report.step, report.name]),
      [[step, 'step-000004']],
    );
    assert.is(savers[0]!.last, join(runDir, 'checkpoints', 'step-000004'));
    await verifyCheckpoint(savers[0]!.last!);
    // At the end of a job, right after one that was due: nobody saves it again or waits for that.
    await Promise.all(savers.map((saver) => saver.save(step, sampleContext(step))));
    assert.is(reports.length, 1);
    for (const { device } of ranks) device.close();
    rmSync(runDir, { recursive: true });
  });
}

test.run();
