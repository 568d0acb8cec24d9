import { z } from 'zod';
import { benchRecurrences, benchShapeSchema } from './bench.js';

/** A recurrence over a sequence whose slices lie on the ranks of a group, both passes or the first one alone. */
const recurrenceCaseSchema = benchShapeSchema.extend({
  op: z.enum(benchRecurrences),
  dtype: z.enum(['f32', 'bf16']),
  pass: z.enum(['forward', 'both']),
  /** How states cross the ranks; null: they do not, each rank's slice is a sequence of its own. */
  strategy: z.string().nullable(),
  /** As the strategy takes them; null without one. */
  blocks: z.int().min(1).nullable(),
  ranksPerNode: z.int().min(1).nullable(),
});

/** One rank's times of a case. `T` is that of the whole sequence. */
const recurrenceTimesSchema = recurrenceCaseSchema.extend({
  /** By round: milliseconds on the compute stream, from a barrier of the ranks to this one's last result. */
  samplesMs: z.array(z.number()).min(1),
  /** Of one run: what this rank has sent. */
  bytesSent: z.int().min(0),
  /** Peak memory beyond the inputs. */
  extraBytes: z.int().min(0),
});

/**
 * A recurrence that no rank has measured; in this way to cross the ranks, under this strategy whichever way (null), or at all (no
 * strategy). `missing`: why this rank cannot; null: it could.
 */
const missingRecurrenceSchema = recurrenceCaseSchema
  .omit({ pass: true })
  .extend({ missing: z.string().nullable() });

/** What the `bench-recurrences` task gives on each rank. */
export const recurrencesResultSchema = z.strictObject({
  cases: z.array(z.union([recurrenceTimesSchema, missingRecurrenceSchema])),
  machine: z.record(z.string(), z.unknown()),
  /** Versions of what carried the messages, where it is a library. */
  versions: z.record(z.string(), z.string()),
});

export type RecurrenceTimes = z.infer<typeof recurrenceTimesSchema>;
export type MissingRecurrence = z.infer<typeof missingRecurrenceSchema>;
export type RecurrencesResult = z.infer<typeof recurrencesResultSchema>;
