import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkJob, type LoadedJob } from './check-job.js';
import type { InstalledUnits } from './installed-units.js';
import { readEnvironment, readOverrides } from './overrides.js';
import { readDocument } from './read-document.js';

/** Layers and strategies for tests of job files, so that messages do not change with every layer added. */
export const installedForTest: InstalledUnits = {
  strategies: ['all-gather', 'all-scan', 'ring'],
  attentionStrategies: ['head-all-to-all', 'kv-all-gather', 'ring-attention'],
  launchers: ['local'],
  layers: {
    names: ['gla', 'lightning', 'linear-attention'],
    load: async (name) => ({
      name,
      paper: 'https://example.org',
      transition: 'identity',
      config: { numHeads: 4, expandK: 0.5, featureMap: 'identity' },
      choices: { featureMap: ['identity', 'elu1'] },
      create: () => (x) => x,
    }),
  },
};

/** Runs `body` in a fresh folder (which becomes the current one) holding `text.txt` of 10,000 bytes and `files`. */
export async function inJobFolder(
  files: Readonly<Record<string, string>>,
  body: (folder: string) => Promise<void> | void,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'longscan-job-'));
  const previous = process.cwd();
  writeFileSync(join(folder, 'text.txt'), 'x'.repeat(10_000));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  process.chdir(folder);
  try {
    await body(folder);
  } finally {
    process.chdir(previous);
    rmSync(folder, { recursive: true });
  }
}

/** What `job.toml` with this text comes out as, and the folder it lay in. */
export async function checkToml(
  text: string,
  set: readonly string[] = [],
  env: NodeJS.ProcessEnv = {},
): Promise<LoadedJob & { readonly folder: string }> {
  let loaded: (LoadedJob & { folder: string }) | undefined;
  await inJobFolder({ 'job.toml': text }, async (folder) => {
    const overrides = [...readEnvironment(env), ...readOverrides(set)];
    loaded = { ...(await checkJob(readDocument('job.toml'), overrides, folder, installedForTest)), folder };
  });
  if (loaded === undefined) throw new Error('unreachable: checkJob throws or returns');
  return loaded;
}

/** The lines of the error that `body` ends in; fails the test when it does not. */
export async function messageOf(body: () => Promise<unknown>): Promise<string[]> {
  try {
    await body();
  } catch (error) {
    return (error as Error).message.split('\n');
  }
  throw new Error('expected an error');
}
