import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LongscanError } from '@longscan/worker/protocol';
import type { StepRow } from '../step-row.js';
import type { Measure } from './run-curve.js';
import { type ScaleOptions, type ScaleResult, scale } from './scale.js';
import type { SettledPoint } from './settle-point.js';

/** A job so small that planning it takes no time. */
export const tinyJob = `
[job]
name = "tiny"
[model]
dModel = 16
numLayers = 1
numHeads = 2
chunk = 16
vocabSize = 256
mlp = 16
layers = ["linear-attention"]
[data]
path = "nowhere.txt"
sequenceLength = 256
batchSize = 2
[device]
threads = 1
memory = "1GiB"
`;

/** A folder with a job, and scaling curves of it whose points are made up instead of measured. */
export class ScaleBench {
  readonly dir = mkdtempSync(join(tmpdir(), 'longscan-scale-'));
  readonly job = join(this.dir, 'job.toml');
  readonly out = join(this.dir, 'out');
  /** `length:sp` of every launch, in order. */
  readonly launches: string[] = [];
  readonly notes: string[] = [];
  /** `length:sp` of points that fail. */
  readonly failing = new Set<string>();

  constructor() {
    writeFileSync(this.job, tinyJob);
  }

  run(change: Partial<ScaleOptions> = {}): Promise<ScaleResult> {
    return scale({
      ...{
        job: this.job,
        dir: this.out,
        mode: 'strong',
        sps: [1, 2],
        lengths: null,
        overrides: [],
        simulate: null,
      },
      ...{ numWarmUps: 1, numSteps: 2, repeats: 1, again: false },
      measureWith: () => this.measure,
      probeWith: () => () => Promise.reject(new Error('nothing is probed')),
      signal: new AbortController().signal,
      onNote: (text) => this.notes.push(text),
      onProgress: () => {},
      onFailure: () => {},
      ...change,
    });
  }

  readonly measure: Measure = async (point) => {
    const name = `${point.length}:${point.sp}`;
    this.launches.push(name);
    if (this.failing.has(name)) {
      throw new LongscanError({ code: 'E-RANK-DIED', where: 'rank 0', found: 'killed', exitCode: 8 });
    }
    return madeUpRow(point);
  };

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** Two steps of which the second takes longer, in a time that falls with the ranks. */
function madeUpRow({ plan, sp }: SettledPoint): StepRow {
  const { numRanks } = plan.mesh;
  return {
    laps: [100 / sp, 110 / sp],
    spExposedMs: sp === 1 ? [0, 0] : [2, 4],
    spBytesSent: 1000 * (sp - 1),
    peakBytesByRank: Array.from({ length: numRanks }, (_, rank) => 1e6 / sp + rank),
    loss: 4,
    machine: { device: 'cpu', level: 'avx2', threads: 1 },
  } as unknown as StepRow;
}
