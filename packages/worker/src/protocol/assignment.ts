import { z } from 'zod';
import { benchOps, benchRecurrences, benchShapeSchema } from './bench.js';
import { measuredTransitions } from './collectives.js';
import { planSchema } from './plan.js';
import { textsSchema } from './texts.js';
import { traceWindowPattern } from './trace-window.js';

/** What a rank process is started for. */
const taskSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('train'),
    /** As the coordinator found them: every rank reads the same or fails. */
    texts: textsSchema,
  }),
  z.strictObject({
    kind: z.literal('generate'),
    /** Absolute path of a committed checkpoint folder. */
    checkpoint: z.string().min(1),
    prompt: z.string(),
    numTokens: z.int().min(0),
    /** 0 takes the most likely token. */
    temperature: z.number().min(0),
    seed: z.int().min(0).max(0xffff_ffff),
    device: z.enum(['cpu', 'cuda']),
  }),
  z.strictObject({
    kind: z.literal('layers-check'),
    /** Name of a layer of the worker's layers folder, or absolute path of a layer file. */
    file: z.string().min(1),
  }),
  z.strictObject({
    kind: z.literal('bench-kernels'),
    device: z.enum(['cpu', 'cuda']),
    ops: z.array(z.enum(benchOps)).min(1),
    shapes: z.array(benchShapeSchema).min(1),
    dtype: z.enum(['f32', 'bf16']),
    numRounds: z.int().min(1).max(10_000),
  }),
  z.strictObject({
    kind: z.literal('bench-recurrences'),
    ops: z.array(z.enum(benchRecurrences)).min(1),
    /** `T` of the whole sequence, a multiple of its ranks. */
    shapes: z.array(benchShapeSchema).min(1),
    dtype: z.enum(['f32', 'bf16']),
    /** Of the sp folder; left out: all of it. */
    strategies: z.array(z.string()).min(1).optional(),
    numRounds: z.int().min(1).max(10_000),
  }),
  z.strictObject({
    kind: z.literal('bench-step'),
    /** Not counted. */
    numWarmUps: z.int().min(0).max(10_000),
    numSteps: z.int().min(1).max(10_000),
    /** Steps behind them whose ops are timed, of which the median counts; left out: one. */
    numProfiled: z.int().min(1).max(1000).optional(),
    /** Steps to trace into the assignment's `runDir`, counted from the first of all; left out: none. */
    trace: z.string().regex(traceWindowPattern).optional(),
  }),
  z.strictObject({
    kind: z.literal('bench-collectives'),
    /** Bytes: whole f32 elements. */
    sizes: z
      .array(
        z
          .int()
          .min(8)
          .max(2 ** 30)
          .multipleOf(4),
      )
      .min(1),
    transition: z.enum(measuredTransitions),
    /** Times that everything is measured, one size after the other, so that what else the machine does falls on all of it. */
    numRounds: z.int().min(1).max(1000),
  }),
  /** Messages alone, for a second or two: what a plan needs to know of links. */
  z.strictObject({ kind: z.literal('probe-links') }),
]);

/** Limits that a rank itself keeps. */
const rankTimeoutsSchema = z.strictObject({
  heartbeatIntervalMs: z.int().min(1),
  /** From Abort to the end of the process; then the rank kills itself. */
  abortGraceMs: z.int().min(1),
  /** Silence of the coordinator after which a rank without a lifeline pipe ends. */
  coordinatorLostMs: z.int().min(1),
  /** How long a collective waits for its slowest peer. */
  collectiveTimeoutMs: z.int().min(1),
});

/** All that a rank is told about its job, in the Welcome that answers its Hello. */
export const assignmentSchema = z.strictObject({
  jobId: z.string(),
  /** Number of the launch within this job, counted up at every relaunch; fences off ranks of an earlier one. */
  epoch: z.int().min(1),
  /** Number of the launch within the run folder, resumes included; rows of metrics.jsonl carry it. */
  attempt: z.int().min(1),
  rank: z.int().min(0),
  worldSize: z.int().min(1),
  task: taskSchema,
  /** Null for tasks that need no job. */
  plan: planSchema.nullable(),
  /** Absolute path of the run folder; null for tasks without one. */
  runDir: z.string().nullable(),
  /** Key of the HMAC by which ranks authenticate to each other on the data plane, hex. */
  jobToken: z.string().regex(/^[0-9a-f]{64}$/),
  /** Absolute path of the checkpoint folder to continue from. */
  resumeFrom: z.string().nullable(),
  /** Names what a resumption may not change; written into checkpoints. Null for tasks that need no job. */
  jobHash: z.string().nullable(),
  /** Absolute path of a layer file outside the packages to absolute path of its bundled module. */
  layerModules: z.record(z.string(), z.string()),
  /** Absolute path of such a layer file to the sha256 of its bundle, hex; written into checkpoints. */
  codeHashes: z.record(z.string(), z.string()),
  timeouts: rankTimeoutsSchema,
});

export type Task = z.infer<typeof taskSchema>;
export type Assignment = z.infer<typeof assignmentSchema>;
