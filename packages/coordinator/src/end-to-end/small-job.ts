import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkpointName } from '@longscan/worker/checkpoint';
import { LongscanError, type MetricsRow, type StepRow } from '@longscan/worker/protocol';
import { type LaunchOptions, launchBy } from '../launch.js';
import { loadLauncher } from '../launcher.js';
import type { Run, RunResult } from '../run.js';
import { rankPids } from '../testing/processes.js';
import type { StandingRanks } from '../testing/standing-ranks.js';

/** A folder of its own for a test's text, job and runs. */
export class Workshop {
  readonly dir = mkdtempSync(join(tmpdir(), 'longscan-end-to-end-'));
  readonly job = join(this.dir, 'job.toml');
  readonly #standing: StandingRanks | null;

  /** @param standing Ranks of its runs; left out: each run starts its own. */
  constructor(standing: StandingRanks | null = null) {
    this.#standing = standing;
    writeFileSync(join(this.dir, 'text.txt'), syntheticText(24_000));
    writeFileSync(this.job, jobText);
  }

  /** Launches the job with a run folder below this one. */
  launch(
    name: string,
    overrides: Readonly<Record<string, unknown>>,
    options: LaunchOptions = {},
  ): Promise<Run> {
    const launcherOf = this.#standing?.launcherOf ?? loadLauncher;
    return launchBy(launcherOf, this.job, { runDir: join(this.dir, name), overrides, ...options });
  }

  /** Launches and waits for the end. */
  async train(
    name: string,
    overrides: Readonly<Record<string, unknown>>,
    options: LaunchOptions = {},
  ): Promise<{ run: Run; result: RunResult; steps: StepRow[] }> {
    const run = await this.launch(name, overrides, options);
    const result = await run.done;
    return { run, result, steps: stepRows(run.dir) };
  }

  /** Trains a copy of a run from one of its checkpoints on: the run stays as it is, to be compared with. */
  async branch(
    name: string,
    from: { readonly run: Run },
    step: number,
    overrides: Readonly<Record<string, unknown>>,
  ): ReturnType<Workshop['train']> {
    cpSync(from.run.dir, join(this.dir, name), { recursive: true });
    return this.train(name, overrides, { resume: checkpointAt(join(this.dir, name), step) });
  }

  /**
   * Kills a rank after three steps; gives the error that the run ends with, and the ranks' process ids. The job's own deadlines
   * are hours away. Where the run does not end all the same, it is killed, and ends with another error.
   */
  async killRank(
    name: string,
    victim: number,
    overrides: Readonly<Record<string, unknown>> & { readonly 'parallel.sp': number },
  ): Promise<{ error: LongscanError; pids: readonly number[] }> {
    const run = await this.launch(name, { ...overrides, ...hours, 'job.steps': 100_000 });
    const patience = setTimeout(() => void run.kill(), patienceMs);
    try {
      for await (const { step } of run.steps()) if (step === 3) break;
      const pids = rankPids(run.dir, run.plan.mesh.numRanks);
      if (pids.some(Number.isNaN)) throw new Error(`not every rank has said its process id: ${pids}`);
      process.kill(pids[victim]!, 'SIGKILL');
      return { error: await failureOf(run.done), pids };
    } finally {
      clearTimeout(patience);
      await run.kill();
    }
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** Far beyond what a few steps and a death take, below the test runner's own deadline. */
const patienceMs = 600_000;

const hours = {
  'launch.heartbeatTimeoutMs': 3_600_000,
  'launch.collectiveTimeoutMs': 7_200_000,
  'launch.stopTimeoutMs': 3_600_000,
};

/** Folder of a step's checkpoint in a run folder. */
export function checkpointAt(runDir: string, step: number): string {
  return join(runDir, 'checkpoints', checkpointName(step));
}

/** The error that a run ends with. */
export async function failureOf(done: Promise<unknown>): Promise<LongscanError> {
  try {
    await done;
  } catch (error) {
    if (error instanceof LongscanError) return error;
    throw error;
  }
  throw new Error('the run ended well');
}

/** All step rows of a run folder; after a resume the highest attempt of a step. */
export function stepRows(runDir: string): StepRow[] {
  const rows = readFileSync(join(runDir, 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as MetricsRow)
    .filter((row): row is StepRow => 'loss' in row);
  const newest = new Map(rows.sort((a, b) => a.attempt - b.attempt).map((row) => [row.step, row]));
  return [...newest.values()].sort((a, b) => a.step - b.step);
}

export function bytesOf(checkpoint: string, file: 'parameters' | 'optimizer'): Buffer {
  return readFileSync(join(checkpoint, `${file}.safetensors`));
}

const jobText = `
[job]
name = "small"
steps = 20
seed = 11

[model]
dModel = 32
numLayers = 3
numHeads = 2
chunk = 16
mlp = 64
layers = ["gla", "lightning", "linear-attention"]

[data]
path = "text.txt"
sequenceLength = 768
validation = 0.1
validateEvery = 0
baseline = "bigram"

[optimizer]
lr = 2e-3
warmupSteps = 5

[checkpoint]
every = 0

[device]
threads = 1

[launch]
heartbeatTimeoutMs = 60000
`;

/** Words with some order in them, the same every time. */
function syntheticText(size: number): string {
  const words = ['whale', 'sea', 'ship', 'the', 'white', 'captain', 'of', 'and', 'harpoon', 'deep'];
  let state = 1;
  let text = '';
  while (text.length < size) {
    state = (state * 48271) % 2147483647;
    text += `${words[(state >> 8) % words.length]}${state % 13 === 0 ? '.\n' : ' '}`;
  }
  return text;
}
