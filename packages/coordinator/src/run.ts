import { join } from 'node:path';
import {
  type CheckpointSaved,
  LongscanError,
  type Plan,
  type Report,
  reportBug,
  type StepRow,
  type Texts,
  type TrainResult,
  type ValidationMetrics,
} from '@longscan/worker/protocol';
import { z } from 'zod';
import { RankError } from './control/rank-error.js';
import { RankSession } from './control/rank-session.js';
import { timeoutsOf } from './control/timeouts-of.js';
import type { Launcher, LaunchRequest } from './launcher.js';
import { StepMerger } from './metrics/merge-steps.js';
import { type CoordinatorRecord, releaseRunFolder, writeRecord } from './run-folder/coordinator-record.js';
import { eventSchema, type RunEvent } from './run-folder/events.js';
import { readJournal, readSteps } from './run-folder/journal-reader.js';
import { runFiles } from './run-folder/run-folder.js';
import type { JournalSize, RunJournal } from './run-folder/run-journal.js';
import { readStatus } from './run-folder/status.js';
import { watchStopRequest } from './run-folder/stop-request.js';

export type RunResult = TrainResult;

/** A training run under way or ended. */
export interface Run {
  readonly id: string;
  /** Absolute path of the run folder. */
  readonly dir: string;
  readonly plan: Plan;
  /** Resolves at the run's end, also at an early one that was asked for; rejects with a LongscanError. */
  readonly done: Promise<RunResult>;
  /** The steps of this launch from its first, also for one who comes late or reads slowly. */
  steps(): AsyncIterableIterator<StepRow>;
  /** Everything that happens in this launch, in order; the last is `done` or `error`. */
  events(): AsyncIterableIterator<RunEvent>;
  /** Ends the run after the step under way; resolves when it has ended, however. */
  stop(options?: { readonly save?: boolean }): Promise<void>;
  /** Ends the run now, saving nothing; resolves when no process is left. */
  kill(): Promise<void>;
}

/** A run folder that is locked, written and ready to be launched. */
export interface PreparedRun {
  readonly plan: Plan;
  readonly jobHash: string;
  readonly journal: RunJournal;
  readonly record: CoordinatorRecord;
  readonly attempt: number;
  /** Checkpoint folder to continue from, with its step. */
  readonly resume: { readonly dir: string; readonly step: number } | null;
  readonly layerModules: Readonly<Record<string, string>>;
  readonly codeHashes: Readonly<Record<string, string>>;
  readonly texts: Texts;
  readonly launcher: Launcher;
  readonly request: LaunchRequest;
  /** Things to tell before anything else happens. */
  readonly incidents: readonly { readonly code: string; readonly message: string }[];
}

const trainResultSchema = z.strictObject({
  step: z.int().min(0),
  validationLoss: z.number().nullable(),
  checkpoint: z.string().nullable(),
});

/** The control plane of local ranks listens where only this machine reaches it. */
const loopback = '127.0.0.1';
const epoch = 1;
/** Refusals worth a line; who goes on after that is only counted. */
const maxRefusalIncidents = 20;

/** One launch of a prepared run, from the first event to the last. */
export class JobRun implements Run {
  readonly id: string;
  readonly dir: string;
  readonly plan: Plan;
  readonly done: Promise<RunResult>;
  readonly #prepared: PreparedRun;
  readonly #journal: RunJournal;
  readonly #merger: StepMerger;
  readonly #start: JournalSize;
  #session: RankSession | null = null;
  #stop: { readonly save: boolean } | null = null;
  #killed: LongscanError | null = null;
  #numRefusals = 0;

  constructor(prepared: PreparedRun) {
    const { journal, plan, record, attempt } = prepared;
    this.id = record.jobId;
    this.dir = journal.runDir;
    this.plan = plan;
    this.#prepared = prepared;
    this.#journal = journal;
    this.#merger = new StepMerger(plan.mesh.numRanks, attempt, (row) => journal.metrics(row));
    this.#start = journal.size;
    this.done = this.#run();
    // Who does not ask for the result must not have the process ended by it.
    this.done.catch(() => {});
  }

  steps(): AsyncIterableIterator<StepRow> {
    return readSteps(this.#journal, this.#start);
  }

  events(): AsyncIterableIterator<RunEvent> {
    return readJournal(this.#journal, this.#start);
  }

  async stop({ save = true }: { readonly save?: boolean } = {}): Promise<void> {
    if (this.#stop === null && !this.#journal.isClosed) {
      this.#stop = { save };
      this.#journal.event({ event: 'stop', save });
      this.#session?.stop(save);
    }
    await this.#settled();
  }

  async kill(): Promise<void> {
    this.#killed ??= new LongscanError({
      code: 'E-RUN-KILLED',
      where: this.dir,
      found: 'the run was ended at once, as asked',
      exitCode: 130,
    });
    this.#session?.kill(this.#killed);
    await this.#settled();
  }

  async #settled(): Promise<void> {
    await this.done.catch(() => {});
  }

  async #run(): Promise<RunResult> {
    const unwatch = watchStopRequest(this.dir, ({ save }) => void this.stop({ save }));
    try {
      this.#announce();
      const result = await this.#train();
      const finished = result.step >= this.plan.jobSpec.job.steps;
      this.#release();
      this.#journal.event({ event: 'done', ...result, finished });
      return result;
    } catch (cause) {
      const error = asLongscanError(cause);
      const { code, message, exitCode, rank } = error;
      const logTail = error instanceof RankError ? error.logTail : [];
      this.#release();
      this.#journal.event({ event: 'error', code, message, exitCode, rank, logTail });
      throw error;
    } finally {
      unwatch();
      this.#journal.close();
    }
  }

  /** Just before the last event, so that it can be told if the folder cannot be released. */
  #release(): void {
    const error = releaseRunFolder(this.dir, this.#prepared.record);
    if (error !== null) this.#incident('warning', error.code, error.message, null);
  }

  #announce(): void {
    const { plan, attempt, incidents } = this.#prepared;
    const { jobSpec, mesh } = plan;
    this.#journal.event({ event: 'run', schema: eventSchema, id: this.id, runDir: this.dir, attempt });
    this.#journal.event({
      event: 'plan',
      sp: mesh.sp,
      dp: mesh.dp,
      strategy: plan.strategy,
      blocks: Math.max(1, ...plan.scans.map(({ blocks }) => blocks)),
      steps: jobSpec.job.steps,
      tokensPerStep: jobSpec.data.sequenceLength * jobSpec.data.batchSize * jobSpec.data.accumulate,
      numParameters: plan.perRank.numParameters,
      notes: plan.notes,
    });
    for (const { code, message } of incidents)
      this.#incident(code.startsWith('W-') ? 'warning' : 'info', code, message, null);
  }

  async #train(): Promise<RunResult> {
    const { steps } = this.plan.jobSpec.job;
    if (this.#prepared.resume !== null && this.#prepared.resume.step >= steps) return this.#alreadyDone();
    const { plan, jobHash, attempt, resume, layerModules, codeHashes, texts, launcher, request, record } =
      this.#prepared;
    this.#journal.event({
      event: 'launch',
      launcher: request.launcher,
      numRanks: plan.mesh.numRanks,
      resumeFrom: resume?.dir ?? null,
      resumeStep: resume?.step ?? null,
    });
    this.#session = await RankSession.start(
      {
        assignment: {
          jobId: this.id,
          epoch,
          attempt,
          task: { kind: 'train', texts },
          plan,
          runDir: this.dir,
          resumeFrom: resume?.dir ?? null,
          jobHash,
          layerModules,
          codeHashes,
        },
        launcher,
        request,
        timeouts: timeoutsOf(plan.jobSpec),
        host: loopback,
      },
      {
        onReport: (rank, report) => this.#onReport(rank, report),
        onRendezvous: (hosts) => this.#journal.event({ event: 'rendezvous', hosts }),
        onRefused: (error) => this.#onRefused(error),
      },
    );
    try {
      writeRecord(this.dir, { ...record, endpoint: this.#session.endpoint });
    } catch (cause) {
      // Ranks are being started: none may outlive the run.
      this.#session.kill(asLongscanError(cause));
    }
    // Asked for while the session was being opened.
    if (this.#killed !== null) this.#session.kill(this.#killed);
    else if (this.#stop !== null) this.#session.stop(this.#stop.save);
    const outcome = await this.#session.ended;
    this.#merger.flush();
    this.#tellRefusals(this.#session.refusals);
    if (!outcome.ok) throw outcome.error;
    return trainResultSchema.parse(outcome.results[0]);
  }

  /** The checkpoint is at the job's last step or beyond: nothing is launched and nothing is written over. */
  async #alreadyDone(): Promise<RunResult> {
    const { dir, step } = this.#prepared.resume!;
    const { steps } = this.plan.jobSpec.job;
    const message = `the run has done ${step} steps, and job.steps = ${steps}: nothing is launched`;
    this.#incident('info', 'I-DONE', message, null);
    const { validationLoss } = await readStatus(this.dir);
    return { step, validationLoss, checkpoint: dir };
  }

  #onReport(rank: number, report: Report): void {
    switch (report.type) {
      case 'step':
        this.#merger.add(rank, report);
        break;
      case 'validation':
        // The step that was validated goes before its validation, however late its other reports come.
        this.#merger.after(report.step, () => this.#onValidation(report));
        break;
      case 'checkpoint':
        this.#onCheckpoint(report);
        break;
      case 'incident':
        this.#incident(report.severity, report.code, report.message, rank);
        break;
    }
  }

  #onValidation({ step, validationLoss, bigramEntropy }: ValidationMetrics): void {
    const { attempt } = this.#prepared;
    this.#journal.metrics({ step, attempt, validationLoss, finite: validationLoss !== null, bigramEntropy });
  }

  #onCheckpoint({ step, name, bytes, saveMs }: CheckpointSaved): void {
    const path = join(this.dir, runFiles.checkpoints, name);
    this.#journal.event({ event: 'checkpoint', step, path, bytes, saveMs });
  }

  #onRefused(error: LongscanError): void {
    if (++this.#numRefusals <= maxRefusalIncidents)
      this.#incident('warning', error.code, error.message, null);
  }

  /** Single refusals are told as they happen, up to a limit; the totals at the end. */
  #tellRefusals({ deniedConnections, refusedFrames }: RankSession['refusals']): void {
    if (deniedConnections + refusedFrames === 0) return;
    const message = `${deniedConnections} connections and ${refusedFrames} frames were refused by the control plane`;
    this.#incident('warning', 'W-WIRE-REFUSED', message, null);
  }

  #incident(severity: 'info' | 'warning', code: string, message: string, rank: number | null): void {
    this.#journal.event({ event: 'incident', severity, code, message, rank });
  }
}

function asLongscanError(cause: unknown): LongscanError {
  if (cause instanceof LongscanError) return cause;
  const found = cause instanceof Error ? cause.message : String(cause);
  return new LongscanError({
    code: 'E-BUG',
    where: 'coordinator',
    found,
    cause,
    fix: reportBug(),
  });
}
