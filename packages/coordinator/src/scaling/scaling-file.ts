import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { jobSpecSchema, LongscanError } from '@longscan/worker/protocol';
import { ZodError, z } from 'zod';
import { makeFolders, onDisk } from '../run-folder/on-disk.js';
import { findDrift } from '../spec/index.js';
import { machineSchema } from './machine.js';
import { modes } from './modes.js';

/** Raised when a reader of the old version would misread a new file. */
export const scalingVersion = 1;
const scalingFile = 'scaling.json';

const milliseconds = z.number().min(0);
const bytes = z.number().min(0);

/** One launch of a point: fresh processes, warmed up, then timed step by step. */
const launchSchema = z.strictObject({
  endedAt: z.string(),
  laps: z.array(milliseconds).min(1),
  /** By lap. */
  spExposedMs: z.array(milliseconds).min(1),
  spBytesSent: bytes,
  peakBytesByRank: z.array(bytes).min(1),
  loss: z.number(),
  /** What rank 0 computed on. */
  device: z.record(z.string(), z.unknown()),
});

/** A step as it was simulated, and on what. */
const simulatedSchema = z.strictObject({
  stepMs: milliseconds,
  /** Compute stood still for states; mean over the ranks. */
  spExposedMs: milliseconds,
  fabric: z.string(),
  compute: z.string(),
});

/** What models say of a point. */
const predictionSchema = z.strictObject({
  /** Of tensors, on one rank, by the plan. */
  peakBytes: bytes,
  /** Null: nobody said what ops cost. */
  step: simulatedSchema.nullable(),
});

const failureSchema = z.strictObject({ code: z.string(), message: z.string(), exitCode: z.int() });

const pointSchema = z.strictObject({
  length: z.int().min(1),
  sp: z.int().min(1),
  dp: z.int().min(1),
  sequenceLength: z.int().min(1),
  batchSize: z.int().min(1),
  /** As planned: with `auto` points of one curve may differ in it. */
  strategy: z.string(),
  modelled: predictionSchema,
  launches: z.array(launchSchema),
  /** Of the launch that failed last; the point has no more launches until the command is given again. */
  error: failureSchema.nullable(),
});

const scalingSchema = z.strictObject({
  schema: z.literal(scalingVersion),
  /** Version of longscan. */
  longscan: z.string(),
  createdAt: z.string(),
  mode: z.enum(modes),
  numWarmUps: z.int().min(0),
  numSteps: z.int().min(1),
  machine: machineSchema,
  job: z.strictObject({
    file: z.string(),
    /** Of everything that all points share. */
    hash: z.string(),
    /** As at sp = 1 and the first length. */
    spec: jobSpecSchema,
    /** The same for people: every value, and where it came from. */
    text: z.string(),
    /** sha256 by layer file outside the packages. */
    codeHashes: z.record(z.string(), z.string()),
  }),
  points: z.array(pointSchema),
});

export type Launch = z.infer<typeof launchSchema>;
export type SimulatedPoint = z.infer<typeof simulatedSchema>;
export type PointRecord = z.infer<typeof pointSchema>;
export type Scaling = z.infer<typeof scalingSchema>;

/** Keys in which the jobs of one curve's points may differ: its own axes, and what does not change a step. */
export function mayDifferInCurve(key: string): boolean {
  return /^(parallel\.sp|data\.(sequenceLength|path)|job\.name|launch\..*|checkpoint\..*)$/.test(key);
}

/**
 * The curve that a folder holds; null: none yet.
 * @throws LongscanError E-SCALE-FILE (exit code 4) for a file that is none of ours
 */
export function readScaling(dir: string): Scaling | null {
  const path = join(dir, scalingFile);
  if (!existsSync(path)) return null;
  try {
    return scalingSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch (cause) {
    const issue = cause instanceof ZodError ? cause.issues[0] : undefined;
    throw new LongscanError({
      code: 'E-SCALE-FILE',
      where: path,
      found: issue ? `${issue.path.join('.')}: ${issue.message}` : (cause as Error).message,
      expected: 'a curve that this version of longscan wrote',
      fix: 'choose another --out',
      exitCode: 4,
      cause,
    });
  }
}

/** Replaces the file in one step: readers, and whoever resumes, see the old one or the new one. */
export function writeScaling(dir: string, scaling: Scaling): void {
  const path = join(dir, scalingFile);
  const draft = `${path}.${process.pid}`;
  const write = () => {
    makeFolders(dir);
    writeFileSync(draft, `${JSON.stringify(scaling, null, 1)}\n`);
    renameSync(draft, path);
  };
  onDisk(path, write, '--out');
}

/**
 * The points of two curves may stand in one file only if nothing but their sizes differs.
 * @throws LongscanError E-SCALE-MIXED (exit code 2) with every difference
 */
export function refuseMixing(dir: string, before: Scaling, now: Scaling): void {
  const facts = [
    ...(['mode', 'numWarmUps', 'numSteps', 'longscan'] as const).map((key) => [key, before[key], now[key]]),
    ...(['cpu', 'cores', 'memoryGiB', 'platform', 'node'] as const).map((key) => [
      `machine.${key}`,
      before.machine[key],
      now.machine[key],
    ]),
  ];
  const codeFiles = new Set([...Object.keys(before.job.codeHashes), ...Object.keys(now.job.codeHashes)]);
  const differences = [
    ...facts
      .filter(([, old, given]) => old !== given)
      .map(([key, old, given]) => `${key} was ${old} and is ${given}`),
    ...findDrift(before.job.spec, now.job.spec, mayDifferInCurve).map(
      ({ key, before: old, now: given }) => `${key} was ${old} and is ${given}`,
    ),
    ...[...codeFiles]
      .filter((file) => before.job.codeHashes[file] !== now.job.codeHashes[file])
      .map((file) => `the code of ${file} has changed`),
  ];
  if (differences.length === 0) return;
  throw new LongscanError({
    code: 'E-SCALE-MIXED',
    where: join(dir, scalingFile),
    found: differences.join('; '),
    expected:
      'a curve of the same mode, job, measurement and machine: only --sp, --lengths and --repeats may grow',
    fix: 'choose another --out, or set them back',
    exitCode: 2,
  });
}
