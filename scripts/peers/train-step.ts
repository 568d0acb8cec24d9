import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { launch } from '@longscan/coordinator';

/**
 * Times a training step of examples/moby-dick on one and two ranks beside plain PyTorch with as many threads, in turn,
 * and prints medians with their spread. Needs a python3 with torch (Debian: python3-torch; another one by PYTHON=…)
 * whose BLAS is a fast one: Debian's takes the reference BLAS unless libopenblas0 is installed.
 *
 *     node scripts/dist/peers/train-step.js [ROUNDS]
 */
const here = path.dirname(fileURLToPath(import.meta.url));
const root = path.resolve(here, '../../..');
const sequenceLength = 16_384;
/** Steps of each round; the first ones warm caches up and are not counted. */
const steps = { all: 14, warmUp: 4 };

interface Sample {
  readonly what: string;
  readonly stepMs: number[];
}

async function timeLongscan(sp: number): Promise<number[]> {
  const runDir = mkdtempSync(path.join(tmpdir(), 'longscan-peers-'));
  try {
    const run = await launch(path.join(root, 'examples/moby-dick/job.toml'), {
      runDir,
      overrides: {
        'job.steps': steps.all,
        'parallel.sp': sp,
        'data.sequenceLength': sequenceLength,
        'data.validation': 0,
        'data.baseline': 'none',
        'device.threads': 1,
      },
    });
    const times: number[] = [];
    for await (const { stepMs } of run.steps()) times.push(stepMs);
    await run.done;
    return times.slice(steps.warmUp);
  } finally {
    rmSync(runDir, { recursive: true, force: true });
  }
}

function timeTorch(threads: number): number[] {
  const script = path.join(root, 'scripts/peers/torch_train_step.py');
  const args = [
    script,
    '--threads',
    `${threads}`,
    '--tokens',
    `${sequenceLength}`,
    '--steps',
    `${steps.all}`,
  ];
  const output = execFileSync(process.env.PYTHON ?? 'python3', args, { encoding: 'utf8' });
  const { stepMs } = JSON.parse(output.trim().split('\n').at(-1)!) as { stepMs: number[] };
  return stepMs.slice(steps.warmUp);
}

function describe({ what, stepMs }: Sample): string {
  const sorted = [...stepMs].sort((a, b) => a - b);
  const at = (part: number) => sorted[Math.round(part * (sorted.length - 1))]!;
  const tokens = Math.round((1000 * sequenceLength) / at(0.5));
  const values = [0.5, 0.05, 0.95].map((part) => at(part).toFixed(0));
  return `| ${what} | ${values[0]} | ${values[1]} – ${values[2]} | ${tokens.toLocaleString('en-US')} | ${sorted.length} |`;
}

const numRounds = Number(process.argv[2] ?? 3);
const samples: Sample[] = [1, 2].flatMap((n) => [
  { what: `longscan, ${n} rank${n > 1 ? 's' : ''} of 1 thread`, stepMs: [] },
  { what: `PyTorch, ${n} thread${n > 1 ? 's' : ''}`, stepMs: [] },
]);
for (let round = 0; round < numRounds; round++) {
  for (const n of [1, 2]) {
    samples[2 * n - 2]!.stepMs.push(...(await timeLongscan(n)));
    samples[2 * n - 1]!.stepMs.push(...timeTorch(n));
  }
}
console.log(`${cpus()[0]?.model}, ${cpus().length} cores; ${sequenceLength} tokens a step; milliseconds\n`);
console.log('| what | median | p5 – p95 | tokens/s | steps |\n| --- | --- | --- | --- | --- |');
for (const sample of samples) console.log(describe(sample));
