import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { checkpointsFolder, latestCommitted, listCheckpoints } from './list.js';
import { openCheckpoint } from './load.js';
import { saveCheckpoint } from './save.js';
import { sampleContent, sampleContext } from './testing.js';

const test = suite<{ dir: string }>('killed save');
test.before.each((context) => {
  context.dir = mkdtempSync(path.join(os.tmpdir(), 'longscan-kill-'));
});
test.after.each(({ dir }) => rmSync(dir, { recursive: true }));

const child = fileURLToPath(new URL('killed-save.child.js', import.meta.url));

/** Saves in a process that kills itself at operation `killAt`; true when the save ended before it came to that. */
function saveAndDie(runDir: string, step: number, seed: number, killAt: number): boolean {
  const args = [child, runDir, String(step), String(seed), String(killAt)];
  const { status, signal, stderr } = spawnSync(process.execPath, args, {
    timeout: 200_000,
    encoding: 'utf8',
  });
  assert.ok(status === 0 || signal === 'SIGKILL', `status ${status}, ${signal}: ${stderr}`);
  return status === 0;
}

/** Every committed folder is whole; returns the seed that the newest one was saved with. */
async function seedOfLatest(runDir: string): Promise<number> {
  for (const { dir } of listCheckpoints(runDir).filter((entry) => entry.isCommitted)) {
    const checkpoint = await openCheckpoint(dir);
    await checkpoint.close();
  }
  const checkpoint = await openCheckpoint(latestCommitted(runDir).dir);
  const { rng } = checkpoint.manifest.trainer;
  const weights = await checkpoint.parameters.read('embedding.weight');
  await checkpoint.close();
  assert.equal(weights, sampleContent(Number(rng)).parameters.get('embedding.weight')!.data);
  return Number(rng);
}

interface Kills {
  /** A run folder that each killed save gets a copy of. */
  readonly before: string;
  readonly step: number;
  /** Number of the first operation that a save is killed at. */
  readonly from: number;
  /** Seeds of the newest checkpoint before the save, and of the one that it writes. */
  readonly old: number;
  readonly seed: number;
}

/** Kills a save at every operation in turn. */
async function killEverywhere(dir: string, { before, step, from, old, seed }: Kills): Promise<void> {
  const seeds: number[] = [];
  for (let killAt = from; ; killAt++) {
    const runDir = path.join(dir, `killed-${killAt}`);
    cpSync(before, runDir, { recursive: true });
    const isOver = saveAndDie(runDir, step, seed, killAt);
    seeds.push(await seedOfLatest(runDir));
    if (isOver) break;
    await saveCheckpoint(runDir, sampleContent(9), sampleContext(step + 1), { keep: 2 });
    assert.is(await seedOfLatest(runDir), 9, `the next save after one killed at operation ${killAt}`);
    const names = readdirSync(checkpointsFolder(runDir));
    assert.is(names.length, 2, `debris of operation ${killAt} is removed: ${names}`);
    rmSync(runDir, { recursive: true });
  }
  const numOperations = from + seeds.length - 1;
  assert.ok(numOperations > 25, `only ${numOperations} operations: is the hook called?`);
  // Old until the moment of the commit, new ever after.
  const commit = seeds.indexOf(seed);
  assert.equal(seeds, [...Array(commit).fill(old), ...Array(seeds.length - commit).fill(seed)]);
  assert.ok(
    commit > 5 && commit < seeds.length - 1,
    `committed at operation ${from + commit} of ${numOperations}`,
  );
}

test('at every operation leaves a valid newest checkpoint, with pruning of old ones', async ({ dir }) => {
  const before = path.join(dir, 'before');
  mkdirSync(before);
  for (const step of [10, 20])
    await saveCheckpoint(before, sampleContent(step / 10), sampleContext(step), { keep: 2 });
  await killEverywhere(dir, { before, step: 30, from: 0, old: 2, seed: 3 });
});

test('at every operation leaves a valid newest checkpoint, when it replaces the only one', async ({
  dir,
}) => {
  const before = path.join(dir, 'before');
  mkdirSync(before);
  await saveCheckpoint(before, sampleContent(1), sampleContext(10), { keep: 2 });
  // Up to here its operations are those of any other save, tested above.
  await killEverywhere(dir, { before, step: 10, from: 20, old: 1, seed: 3 });
});

test.run();
