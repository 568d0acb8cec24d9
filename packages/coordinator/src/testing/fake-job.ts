import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { jobSpecSchema, type Plan, type Texts } from '@longscan/worker/protocol';
import { type Launcher, type LaunchRequest, loadLauncher } from '../launcher.js';
import { JobRun } from '../run.js';
import { acquireRunFolder, ownRecord } from '../run-folder/coordinator-record.js';
import { runFiles, writeRunFile } from '../run-folder/run-folder.js';
import { RunJournal } from '../run-folder/run-journal.js';

/** How a fake rank goes wrong: which one, and in which step (0 is before its hello). */
export type FakeFault =
  | { readonly kind: 'none' }
  | {
      readonly kind: 'absent' | 'kill' | 'stop-process' | 'block' | 'ignore-abort' | 'fail' | 'malformed';
      readonly rank: number;
      readonly step: number;
    }
  /** `quit`: in the midst of its orderly end. */
  | {
      readonly kind: 'exit' | 'quit';
      readonly rank: number;
      readonly step: number;
      readonly exitCode: number;
    }
  /** Its process ends so long after its task. */
  | { readonly kind: 'linger'; readonly rank: number; readonly step: number; readonly ms: number };

export interface FakeJob {
  readonly runDir: string;
  readonly numRanks: number;
  readonly steps: number;
  readonly stepMs?: number;
  /** Path of a file without which no rank begins its last step. */
  readonly gate?: string;
  /** Path of a file without which rank 0 does not get its checkpoint saved; left out: nothing is saved. */
  readonly saveGate?: string;
  readonly fault?: FakeFault;
  readonly launch?: Partial<Plan['jobSpec']['launch']>;
}

/** Of ranks that read nothing. */
export const fakeTexts: Texts = {
  path: { bytes: 0, sha256: '0'.repeat(64), documents: null },
  validation: null,
};

/** A plan that no planner made, for ranks that compute nothing. */
export function fakePlan({ numRanks, steps, launch = {} }: Omit<FakeJob, 'runDir'>): Plan {
  const length = 64;
  const jobSpec = jobSpecSchema.parse({
    job: { name: 'fake', steps },
    model: {
      dModel: 8,
      numLayers: 1,
      numHeads: 1,
      chunk: 64,
      vocabSize: 256,
      mlp: 0,
      layers: [{ use: 'fake', options: {}, file: null }],
    },
    data: { path: '/dev/null', sequenceLength: numRanks * length },
    parallel: { sp: numRanks },
    // On a machine that is busy nobody is to be taken for silent.
    launch: { heartbeatTimeoutMs: 60_000, ...launch },
  });
  return {
    jobSpec,
    mesh: { sp: numRanks, dp: 1, numRanks },
    slices: Array.from({ length: numRanks }, (_, rank) => ({
      start: rank * length,
      length,
      numTokens: length,
    })),
    paddedLength: numRanks * length,
    padTokens: 0,
    sequencesPerRank: 1,
    strategy: 'ring',
    scans: [],
    attentionStrategy: 'kv-all-gather',
    ranksPerNode: numRanks,
    gradientBucketBytes: null,
    perRank: {
      numParameters: 0,
      parameterBytes: 0,
      gradientBytes: 0,
      optimizerBytes: 0,
      activationBytes: 0,
      communicationBytes: 0,
      peakBytes: 0,
      reservedBytes: 0,
      stateBytes: 0,
      flopsPerStep: 0,
    },
    modelledScans: [],
    modelled: [],
    modelledAttention: [],
    notes: [],
  };
}

/** What starts the fake ranks of a plan. */
export async function fakeLaunch(
  plan: Plan,
  { runDir, fault = { kind: 'none' }, stepMs = 5, gate = '', saveGate = '' }: FakeJob,
): Promise<{ launcher: Launcher; request: LaunchRequest }> {
  const launcher = await loadLauncher('local');
  const request = launcher.request(plan, {
    command: [process.execPath, fileURLToPath(new URL('fake-rank.js', import.meta.url))],
    logDir: join(runDir, runFiles.logs),
    numCores: 1,
  });
  const env = {
    LONGSCAN_FAKE_FAULT: JSON.stringify(fault),
    LONGSCAN_FAKE_STEP_MS: String(stepMs),
    LONGSCAN_FAKE_GATE: gate,
    LONGSCAN_FAKE_SAVE_GATE: saveGate,
  };
  const ranks = request.ranks.map((rank) => ({ ...rank, env: { ...rank.env, ...env } }));
  return { launcher, request: { ...request, ranks } };
}

/** Starts a run of fake ranks in a new run folder. */
export async function launchFake(job: FakeJob): Promise<JobRun> {
  const { runDir } = job;
  const plan = fakePlan(job);
  writeRunFile(runDir, runFiles.plan, JSON.stringify(plan));
  const record = ownRecord('fake-run');
  acquireRunFolder(runDir, record);
  return new JobRun({
    plan,
    jobHash: 'fake',
    journal: new RunJournal(runDir),
    record,
    attempt: 1,
    resume: null,
    layerModules: {},
    codeHashes: {},
    texts: fakeTexts,
    ...(await fakeLaunch(plan, job)),
    incidents: [],
  });
}
