import { randomUUID } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { besideSurroundings, checkSurroundings } from './check-surroundings.js';
import { isProbed } from './fabric/load-fabric.js';
import { type Launcher, loadLauncher } from './launcher.js';
import { checkpointBytes } from './plan/checkpoint-bytes.js';
import { keepProbe, keptProbe } from './probe/kept-probe.js';
import { type PlanOnLinks, planOnLinks } from './probe/plan-on-links.js';
import { JobRun, type PreparedRun, type Run } from './run.js';
import { type BundledLayer, bundleLayers, withBundleFiles, writeBundle } from './run-folder/bundle-layer.js';
import { acquireRunFolder, ownRecord, releaseRunFolder } from './run-folder/coordinator-record.js';
import { leaveCourse } from './run-folder/leave-course.js';
import { onDisk } from './run-folder/on-disk.js';
import { findResumeTarget, type ResumeTarget, refuseDrift } from './run-folder/resume.js';
import {
  createRunFolder,
  linkLatest,
  requireCheckpoints,
  requireSpace,
  runFiles,
  useRunFolder,
  writeRunFile,
} from './run-folder/run-folder.js';
import { RunJournal } from './run-folder/run-journal.js';
import { sameTexts, type TextsToGoOnWith } from './run-folder/same-texts.js';
import { readStatus } from './run-folder/status.js';
import { clearStopRequest } from './run-folder/stop-request.js';
import {
  formatResolvedJob,
  type JobInput,
  jobHash,
  type LoadedJob,
  loadJob,
  type Overrides,
} from './spec/index.js';
import { stoppedError } from './stopped-error.js';

export interface LaunchOptions {
  /** `section.key=value` texts, or values by dotted key; they win over the job and the environment. */
  readonly overrides?: Overrides | undefined;
  /** Folder of the run; `runs/<name>-<timestamp>` unless given. A run that is resumed goes on in its own. */
  readonly runDir?: string | undefined;
  /**
   * `auto`: the newest unfinished run of this job, or a fresh start. Else a run, or a checkpoint of one, whose later ones are
   * then set aside.
   */
  readonly resume?: string | undefined;
  /** Name of a launcher; wins over the job's. */
  readonly launcher?: string | undefined;
  /** Resume although a layer file outside the packages has changed. */
  readonly allowCodeChange?: boolean | undefined;
  /**
   * The first abort saves and stops; while the job is planned it ends that, whatever a layer file of the user's does. A second
   * `abort` event, which no AbortController sends, kills: see `Run.kill`.
   */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Launches a job: plans it, makes its run folder and starts its ranks. Prints nothing and never ends the process. Links that a
 * job wants probed are measured in front of that, by ranks that have ended before its own are started; a resumed run goes by
 * what was found then.
 *
 * @param job Path of a job file, or the contents of one.
 * @returns the run, once its plan is valid; its ranks are then being started.
 * @throws LongscanError (JobErrors for several at once): E-CFG-* and others of the job, E-RESUME-DRIFT, E-CKPT-*,
 * E-CLI-USAGE, E-LOCK, E-DISK, E-ADDON; of a probe that failed those of its ranks. Nothing is running by then.
 */
export function launch(job: string | JobInput, options: LaunchOptions = {}): Promise<Run> {
  return launchBy(loadLauncher, job, options);
}

/** `launch` with launchers that need not be units of the folder. */
export async function launchBy(
  launcherOf: typeof loadLauncher,
  job: string | JobInput,
  options: LaunchOptions,
): Promise<Run> {
  const loaded = await loadJob(job, { overrides: allOverrides(options) });
  const bundles = await bundleLayers(loaded.jobSpec.model.layers);
  const { jobSpec } = loaded;
  const beginning = await findBeginning(options, loaded, bundles);
  const { target } = beginning;
  const { signal, runDir } = options;
  const kept = target && keptProbe(target.runDir, jobSpec);
  const { name } = jobSpec.job;
  const plan = (ending?: AbortSignal) =>
    withBundleFiles(bundles, (modules) => planOnLinks(jobSpec, modules, { kept, signal: ending }));
  let planned: PlanOnLinks;
  if (isProbed(jobSpec)) {
    // Ranks that are to be probed are not started where none can run, or for a folder that is taken.
    await checkSurroundings(name, signal);
    if (target === null && runDir !== undefined) useRunFolder(runDir);
    planned = await plan(signal);
  } else planned = await besideSurroundings(name, signal, plan);
  if (signal?.aborted) throw stoppedError(name);
  const launcher = await launcherOf(jobSpec.launch.launcher);
  const run = new JobRun(await prepare(loaded, planned, bundles, beginning, launcher, options));
  obey(run, options.signal);
  return run;
}

function allOverrides({ overrides = [], launcher }: LaunchOptions): Overrides {
  if (launcher === undefined) return overrides;
  if (Array.isArray(overrides)) return [...overrides, `launch.launcher=${launcher}`];
  return { ...overrides, 'launch.launcher': launcher };
}

/** What a launch goes on from; null: it begins a run. And what it reads. */
interface Beginning extends Pick<TextsToGoOnWith, 'texts' | 'incident'> {
  readonly target: ResumeTarget | null;
}

async function findBeginning(
  { resume, runDir, allowCodeChange = false }: LaunchOptions,
  loaded: LoadedJob,
  bundles: readonly BundledLayer[],
): Promise<Beginning> {
  const { jobSpec } = loaded;
  // A job that is trained is loaded with its texts.
  const texts = loaded.texts!;
  const target = resume === undefined ? null : await findResumeTarget({ resume, runDir, jobSpec });
  if (target === null) return { target, texts, incident: null };
  const before = target.checkpoint === null ? texts : target.checkpoint.manifest.texts;
  const { change: textChange, ...reads } = sameTexts(jobSpec.data, before, texts);
  refuseDrift(target, jobSpec, { codeHashes: hashes(bundles), allowCodeChange, textChange });
  return { target, ...reads };
}

/** Makes and fills the run folder. From here on the run is on disk, and the folder is this process's. */
async function prepare(
  { jobSpec, originOf }: LoadedJob,
  { plan, probed }: PlanOnLinks,
  bundles: readonly BundledLayer[],
  { target, texts, incident }: Beginning,
  launcher: Launcher,
  options: LaunchOptions,
): Promise<PreparedRun> {
  const runDir = target?.runDir ?? newRunFolder(jobSpec.job.name, options.runDir);
  const record = ownRecord(randomUUID());
  const died = onDisk(runDir, () => acquireRunFolder(runDir, record));
  let journal: RunJournal | null = null;
  try {
    requireCheckpoints(runDir);
    requireSpace(runDir, 2 * checkpointBytes(plan));
    clearStopRequest(runDir);
    const attempt = target === null ? 1 : (await readStatus(runDir)).attempt + 1;
    writeRunFile(runDir, runFiles.resolvedJob, formatResolvedJob(jobSpec, originOf));
    writeRunFile(runDir, runFiles.plan, `${JSON.stringify(plan, null, 2)}\n`);
    if (probed !== null) keepProbe(runDir, probed);
    const layerModules = Object.fromEntries(bundles.map((one) => [one.file, writeBundle(runDir, one)]));
    linkLatest(runDir);
    journal = new RunJournal(runDir);
    const request = launcher.request(plan, {
      command: [process.execPath, fileURLToPath(import.meta.resolve('@longscan/worker/main'))],
      logDir: join(runDir, runFiles.logs),
      numCores: availableParallelism(),
    });
    // Last, when nothing else can refuse the launch; and not for a job that has no step left to do.
    const resume = target?.checkpoint && {
      dir: target.checkpoint.dir,
      step: target.checkpoint.manifest.step,
    };
    const goesOn = target !== null && (resume?.step ?? 0) < jobSpec.job.steps;
    const left = goesOn ? await leaveCourse(target) : null;
    return {
      plan,
      jobHash: jobHash(jobSpec),
      journal,
      record,
      attempt,
      resume: resume ?? null,
      layerModules,
      codeHashes: hashes(bundles),
      texts,
      launcher,
      request,
      incidents: [
        ...(died === null
          ? []
          : [{ code: 'I-LOCK', message: `process ${died.pid} on ${died.host} died; took its place` }]),
        ...(options.resume === undefined || resume ? [] : [startsOver(target)]),
        ...(target?.skipped ?? []).map(({ message }) => ({ code: 'W-CKPT-PARTIAL', message })),
        ...(incident === null ? [] : [incident]),
        ...(left === null ? [] : [left]),
      ],
    };
  } catch (error) {
    journal?.close();
    // Why it failed is told, not that the folder could not be released: it is free once this process has ended.
    releaseRunFolder(runDir, record);
    throw error;
  }
}

/** A resumption without a checkpoint. */
function startsOver(target: ResumeTarget | null): PreparedRun['incidents'][number] {
  const why =
    target === null ? 'no unfinished run of this job was found' : 'the run has not saved a checkpoint yet';
  return { code: 'I-RESUME', message: `${why}: starting from the beginning` };
}

function newRunFolder(name: string, given: string | undefined): string {
  return given === undefined ? createRunFolder(name, new Date()) : useRunFolder(given);
}

function hashes(bundles: readonly BundledLayer[]): Record<string, string> {
  return Object.fromEntries(bundles.map(({ file, sha256 }) => [file, sha256]));
}

function obey(run: JobRun, signal: AbortSignal | undefined): void {
  if (signal === undefined) return;
  let numAborts = 0;
  const onAbort = (): void => {
    if (++numAborts === 1) void run.stop({ save: true });
    else void run.kill();
  };
  signal.addEventListener('abort', onAbort);
  if (signal.aborted) onAbort();
  void run.done.then(
    () => signal.removeEventListener('abort', onAbort),
    () => signal.removeEventListener('abort', onAbort),
  );
}
