import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readManifest } from '@longscan/worker/checkpoint';
import {
  type Done,
  LongscanError,
  type Plan,
  type Progress,
  type Report,
  type Task,
} from '@longscan/worker/protocol';
import { RankSession, type SessionTimeouts } from './control/rank-session.js';
import { loadLauncher } from './launcher.js';
import { bundleLayer, withBundleFiles } from './run-folder/bundle-layer.js';
import { TemporaryFolder } from './run-folder/on-disk.js';
import { runFiles } from './run-folder/run-folder.js';

export interface RunTaskOptions {
  /** Ends the task at once. */
  readonly signal?: AbortSignal | undefined;
  /** How far a task is that tells it. */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /** Default: `usualTimeouts`. */
  readonly timeouts?: SessionTimeouts | undefined;
  /** Folder that ranks may write into, absolute; default: none. */
  readonly outDir?: string | undefined;
}

const usualTimeouts: SessionTimeouts = {
  rendezvousMs: 60_000,
  heartbeatIntervalMs: 1000,
  heartbeatTimeoutMs: 5000,
  collectiveMs: 120_000,
  // As a job's: giving back a GPU's memory was seen to take more than 10 s on a host that is busy.
  stopMs: 90_000,
};

/** The one rank of a task; it takes all cores unless told otherwise. */
const soleRank = { mesh: { numRanks: 1 }, jobSpec: { device: { threads: 'auto' } } } as const;

/**
 * Runs a task that needs one rank and no run folder, in a process of its own, since this one never opens the native
 * library.
 *
 * @returns what the task made.
 * @throws LongscanError of the task itself, or of its process's end.
 */
export async function runTask(
  task: Exclude<Task, { kind: 'train' | RankTask['kind'] }>,
  options: RunTaskOptions = {},
): Promise<Done['result']> {
  const known = await knownModules(task);
  const bundles = await Promise.all(known.missing.map(bundleLayer));
  const codeHashes = Object.fromEntries(bundles.map(({ file, sha256 }) => [file, sha256]));
  const [result] = await withBundleFiles(bundles, (made) =>
    runInRanks(task, { plan: null, layerModules: { ...known.modules, ...made }, codeHashes }, options),
  );
  return result!;
}

/**
 * Runs a task on all ranks of a plan, without a run folder.
 *
 * @param layerModules Bundled module of each layer file outside the packages, by the file's path.
 * @returns what the task made, by rank.
 * @throws LongscanError of the task itself, or of the end of a rank's process.
 */
export function runOnRanks(
  task: RankTask,
  plan: Plan,
  layerModules: Readonly<Record<string, string>>,
  options: RunTaskOptions = {},
): Promise<readonly Done['result'][]> {
  return runInRanks(task, { plan, layerModules, codeHashes: {} }, options);
}

/** A task for all ranks of a plan that leaves no run behind. */
export type RankTask = Extract<
  Task,
  { kind: 'bench-step' | 'bench-collectives' | 'bench-recurrences' | 'probe-links' }
>;

/** What an assignment says beside its task. */
interface TaskSurroundings {
  readonly plan: Plan | null;
  readonly layerModules: Readonly<Record<string, string>>;
  readonly codeHashes: Readonly<Record<string, string>>;
}

async function runInRanks(
  task: Task,
  surroundings: TaskSurroundings,
  { signal, onProgress, timeouts = usualTimeouts, outDir }: RunTaskOptions,
): Promise<readonly Done['result'][]> {
  const folder = new TemporaryFolder('longscan-task-');
  try {
    const { plan } = surroundings;
    const launcher = await loadLauncher(plan?.jobSpec.launch.launcher ?? 'local');
    const request = launcher.request(plan ?? soleRank, {
      command: [process.execPath, fileURLToPath(import.meta.resolve('@longscan/worker/main'))],
      logDir: folder.path,
      numCores: availableParallelism(),
    });
    const assignment = {
      jobId: randomUUID(),
      epoch: 1,
      attempt: 1,
      task,
      runDir: outDir ?? null,
      resumeFrom: null,
      jobHash: null,
      ...surroundings,
    };
    const onReport = (_rank: number, report: Report): void => {
      if (report.type === 'progress') onProgress?.(report);
    };
    const session = await RankSession.start(
      { assignment, launcher, request, timeouts, host: '127.0.0.1' },
      { onReport, onRendezvous: () => {}, onRefused: () => {} },
    );
    const kill = (): void => session.kill(killed(task));
    signal?.addEventListener('abort', kill);
    if (signal?.aborted) kill();
    const outcome = await session.ended;
    signal?.removeEventListener('abort', kill);
    if (!outcome.ok) throw outcome.error;
    return outcome.results;
  } finally {
    folder.remove();
  }
}

/**
 * Layer files outside the packages that a task needs: those whose bundle is still in the run folder of its checkpoint
 * (the very code that was trained), and those that have to be bundled.
 */
async function knownModules(
  task: Task,
): Promise<{ readonly modules: Readonly<Record<string, string>>; readonly missing: readonly string[] }> {
  if (task.kind === 'layers-check') return { modules: {}, missing: isAbsolute(task.file) ? [task.file] : [] };
  if (task.kind !== 'generate') return { modules: {}, missing: [] };
  const { manifest } = await readManifest(task.checkpoint);
  const codeDir = resolve(task.checkpoint, '..', '..', runFiles.code);
  const found = Object.entries(manifest.codeHashes).map(
    ([file, sha256]) => [file, join(codeDir, `${sha256}.mjs`)] as const,
  );
  return {
    modules: Object.fromEntries(found.filter(([, bundle]) => existsSync(bundle))),
    missing: found.filter(([, bundle]) => !existsSync(bundle)).map(([file]) => file),
  };
}

function killed(task: Task): LongscanError {
  return new LongscanError({
    code: 'E-RUN-KILLED',
    where: task.kind,
    found: 'the task was ended, as asked',
    exitCode: 130,
  });
}
