import { z } from 'zod';
import { assignmentSchema } from './assignment.js';
import { phases } from './phases.js';

/** Counted up when a message changes so that the two sides would misread each other. */
export const protocolVersion = 4;

const rank = z.int().min(0);
const step = z.int().min(0);
const finiteOrNull = z.number().nullable();
const bytes = z.number().min(0);
const milliseconds = z.number().min(0);
const shortText = z.string().max(1024);

/** First message of a connection: binds it to (rank, epoch). */
const helloSchema = z.strictObject({
  type: z.literal('hello'),
  /** Proof of rank: CURVE shows that the peer is one of the job's, this shows which. Hex. */
  secret: z.string().regex(/^[0-9a-f]{64}$/),
  pid: z.int().min(1),
  host: shortText,
  nodeVersion: shortText,
});

/** Addresses under which the others reach this rank, by purpose (`sp`, `dp`, …): `host:port`, or an engine's id. */
const addressesSchema = z.record(z.string().max(64), z.string().max(4096));

/** The rank is built and listens. */
const readySchema = z.strictObject({ type: z.literal('ready'), addresses: addressesSchema });

/** Sent once a second from a thread that a busy main thread cannot hold up. */
const heartbeatSchema = z.strictObject({
  type: z.literal('heartbeat'),
  step,
  phase: z.enum(phases),
  /** Number of collectives enqueued since the start: tells the rank that is behind from those that wait for it. */
  collective: z.int().min(0),
  /** Sequence number of the last command that arrived. */
  ack: z.int().min(0),
  /** Reports that the send queue had no room for, since the start. */
  numDropped: z.int().min(0),
});

/** One rank's part of a step. The loss, gradient norm and token count are those of the whole batch on every rank. */
const stepMetricsSchema = z.strictObject({
  type: z.literal('step'),
  step,
  loss: finiteOrNull,
  gradNorm: finiteOrNull,
  lr: z.number(),
  tokens: z.int().min(0),
  stepMs: milliseconds,
  spExposedMs: milliseconds.nullable(),
  spBytesSentForward: bytes,
  spBytesSentBackward: bytes,
  peakBytes: bytes,
  mfu: finiteOrNull,
  extra: z.record(z.string().max(64), finiteOrNull),
});

/** Sent by rank 0. */
const validationMetricsSchema = z.strictObject({
  type: z.literal('validation'),
  step,
  validationLoss: finiteOrNull,
  bigramEntropy: finiteOrNull,
});

/** Sent by rank 0 once COMMITTED is on disk. */
const checkpointSavedSchema = z.strictObject({
  type: z.literal('checkpoint'),
  step,
  /** Folder under `checkpoints/` of the run. */
  name: z.string().regex(/^step-\d{6,12}$/),
  bytes,
  saveMs: milliseconds,
});

/** Something worth telling that does not end the job. */
const incidentSchema = z.strictObject({
  type: z.literal('incident'),
  severity: z.enum(['info', 'warning']),
  code: shortText,
  message: z.string().max(8192),
});

/** Sent by rank 0 of a task that takes minutes and is no training: what it does next. */
const progressSchema = z.strictObject({
  type: z.literal('progress'),
  done: z.int().min(0),
  total: z.int().min(1),
  next: shortText,
});

/** The task is done; the process ends next. */
const doneSchema = z.strictObject({
  type: z.literal('done'),
  /** What the task made; rank 0's is the job's. For training a `TrainResult`. */
  result: z.record(z.string(), z.unknown()),
});

/** The task failed; the process ends next. The parts of a LongscanError. */
const failedSchema = z.strictObject({
  type: z.literal('failed'),
  code: shortText,
  where: z.string().max(8192),
  found: z.string().max(32_768),
  expected: z.string().max(8192).nullable(),
  fix: z.string().max(8192).nullable(),
  exitCode: z.int().min(1).max(255),
  stack: z.string().max(32_768).nullable(),
});

export const rankBodySchema = z.discriminatedUnion('type', [
  helloSchema,
  readySchema,
  heartbeatSchema,
  stepMetricsSchema,
  validationMetricsSchema,
  checkpointSavedSchema,
  incidentSchema,
  progressSchema,
  doneSchema,
  failedSchema,
]);

/** Frame of a rank. `seq` counts from 1 within an epoch, so a frame that is played again is seen. */
export const rankFrameSchema = z.strictObject({
  version: z.literal(protocolVersion),
  jobId: z.string().max(128),
  epoch: z.int().min(1),
  rank,
  seq: z.int().min(1),
  body: rankBodySchema,
});

const welcomeSchema = z.strictObject({ type: z.literal('welcome'), assignment: assignmentSchema });

/** The answer to a Hello that is not accepted; the rank ends. */
const refusedSchema = z.strictObject({
  type: z.literal('refused'),
  code: shortText,
  reason: z.string().max(8192),
});

/** Where everybody is, by rank; sent once all are ready. */
const rankTableSchema = z.strictObject({
  type: z.literal('rank-table'),
  ranks: z.array(z.strictObject({ rank, host: shortText, addresses: addressesSchema })),
});

/** Answers every heartbeat, so that a rank on another host can tell a lost coordinator, and any rank what was read. */
const beatSchema = z.strictObject({
  type: z.literal('beat'),
  /** Sequence number of the rank's last frame that was read. */
  received: z.int().min(1),
});

/** End after the step under way. Ranks agree on the step among themselves before they act on it. */
const stopSchema = z.strictObject({ type: z.literal('stop'), save: z.boolean() });

/** Rank 0 has saved the checkpoint under way: all ranks, which wait for that, go on. */
const savedSchema = z.strictObject({ type: z.literal('saved') });

/** The epoch is over: leave every collective, save nothing, end. */
const abortSchema = z.strictObject({ type: z.literal('abort'), reason: z.string().max(8192) });

const coordinatorBodySchema = z.discriminatedUnion('type', [
  welcomeSchema,
  refusedSchema,
  rankTableSchema,
  beatSchema,
  stopSchema,
  savedSchema,
  abortSchema,
]);

/** Frame of the coordinator. Commands count `seq` up from 1 for each rank and are sent again until acknowledged. */
export const coordinatorFrameSchema = z.strictObject({
  version: z.literal(protocolVersion),
  jobId: z.string().max(128),
  epoch: z.int().min(1),
  /** 0 for what needs no acknowledgement. */
  seq: z.int().min(0),
  body: coordinatorBodySchema,
});

export type Hello = z.infer<typeof helloSchema>;
export type Ready = z.infer<typeof readySchema>;
export type Addresses = z.infer<typeof addressesSchema>;
export type Heartbeat = z.infer<typeof heartbeatSchema>;
export type StepMetrics = z.infer<typeof stepMetricsSchema>;
export type ValidationMetrics = z.infer<typeof validationMetricsSchema>;
export type CheckpointSaved = z.infer<typeof checkpointSavedSchema>;
export type Incident = z.infer<typeof incidentSchema>;
export type Progress = z.infer<typeof progressSchema>;
export type Done = z.infer<typeof doneSchema>;
export type Failed = z.infer<typeof failedSchema>;
export type RankBody = z.infer<typeof rankBodySchema>;
export type RankFrame = z.infer<typeof rankFrameSchema>;
export type RankTable = z.infer<typeof rankTableSchema>;
export type CoordinatorBody = z.infer<typeof coordinatorBodySchema>;
export type CoordinatorFrame = z.infer<typeof coordinatorFrameSchema>;

/** What a rank may report to the coordinator while it works. */
export type Report = StepMetrics | ValidationMetrics | CheckpointSaved | Incident | Progress;

/** Result of a finished `train` task, as rank 0's Done carries it. */
export interface TrainResult {
  /** Last step that was done. */
  readonly step: number;
  readonly validationLoss: number | null;
  /** Absolute path of the last committed checkpoint. */
  readonly checkpoint: string | null;
}
