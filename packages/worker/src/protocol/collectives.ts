import { z } from 'zod';

/**
 * What `bench collectives` measures. `send-recv`: one message, half of its way there and back; `burst`: one of a
 * run of `burstLength`, half of a run there and one back; `chain` and `chain-run`: the same of a state's way along all ranks where a
 * group has chains of its own; `scan`: a whole strategy, half of a forward scan and the reverse one after it.
 */
const collectiveOps = [
  'send-recv',
  'burst',
  'chain',
  'chain-run',
  'all-gather',
  'reduce-scatter',
  'all-reduce',
  'scan',
] as const;

/** Messages of a run. */
export const burstLength = 16;

/** Classes of M that a measured scan can have; `identity` sends the state alone. */
export const measuredTransitions = ['identity', 'scalar', 'diagonal', 'dense'] as const;

export type MeasuredTransition = (typeof measuredTransitions)[number];

/** One operation of one size. */
const collectiveCaseSchema = z.strictObject({
  op: z.enum(collectiveOps),
  /**
   * Bytes of the message, of the whole vector (as nccl-tests count: what an all-gather ends with and a reduce-scatter begins
   * with), or of the state of one rank.
   */
  bytes: z.int().min(1),
  /** Of a message: whether it stays in a node. */
  link: z.enum(['inside', 'between']).nullable(),
  /** Of scans, as blocks and nodes are. */
  strategy: z.string().nullable(),
  blocks: z.int().min(1).nullable(),
  ranksPerNode: z.int().min(1).nullable(),
  /** Of scans and chains, as all that follows. */
  transition: z.enum(measuredTransitions).nullable(),
  /** Of M, as sent where it travels. */
  transitionBytes: z.int().min(0).nullable(),
  /** Of the state, between which it is cut. */
  stateRows: z.int().min(1).nullable(),
});

/** One rank's times of a case. */
const collectiveTimesSchema = collectiveCaseSchema.extend({
  /** By sample, all rounds: seconds of one operation on the stream; null on a rank whose time is not that of the operation. */
  samplesS: z.array(z.number()).nullable(),
  /** By sample: seconds for which JavaScript enqueued one operation. */
  hostS: z.array(z.number()),
});

/** What the `bench-collectives` and `probe-links` tasks give on each rank. */
export const collectivesResultSchema = z.strictObject({
  cases: z.array(collectiveTimesSchema),
  machine: z.record(z.string(), z.unknown()),
  /** Versions of what carried the messages, where it is a library. */
  versions: z.record(z.string(), z.string()),
});

export type CollectiveCase = z.infer<typeof collectiveCaseSchema>;
export type CollectiveTimes = z.infer<typeof collectiveTimesSchema>;
export type CollectivesResult = z.infer<typeof collectivesResultSchema>;
