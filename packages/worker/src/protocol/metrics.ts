/**
 * Rows of `metrics.jsonl`. A number that was not finite is null, with `finite: false`. After a resume or a rollback
 * a step may have several rows: the one with the highest attempt counts. Where a later attempt began at the step of a row
 * or before, the row is of a course that the run has left, however far the later one got.
 */
export type MetricsRow = StepRow | ValidationRow;

/** One optimizer step, all ranks together. */
export interface StepRow {
  readonly step: number;
  readonly attempt: number;
  /** Mean over the valid tokens of the whole batch, nats per token. */
  readonly loss: number | null;
  /** Global norm before clipping. */
  readonly gradNorm: number | null;
  /** False when the loss or the gradient norm was not finite. */
  readonly finite: boolean;
  readonly lr: number;
  /** Valid tokens of the whole batch. */
  readonly tokens: number;
  readonly tokensPerSecond: number;
  /** Model FLOPs over the machine's peak; null when the peak is not known. */
  readonly mfu: number | null;
  /** The slowest rank's. */
  readonly stepMs: number;
  /**
   * Time for which the compute stream stood still for sequence-parallel communication, on GPUs by their clock; the largest
   * over the ranks. Null: not measured.
   */
  readonly spExposedMs: number | null;
  /** Sum over the ranks, both directions, counted where the bytes are sent. */
  readonly spBytesSent: number;
  /** Largest over the ranks. */
  readonly peakBytes: number;
  /** What each rank reported, by rank; null where its report was lost. */
  readonly perRank: readonly (PerRankStep | null)[];
  /** Parts of the step time and whatever else rank 0 measured, milliseconds unless the name says otherwise. */
  readonly extra: Readonly<Record<string, number | null>>;
}

export interface PerRankStep {
  readonly stepMs: number;
  readonly spExposedMs: number | null;
  readonly spBytesSentForward: number;
  readonly spBytesSentBackward: number;
  readonly peakBytes: number;
}

/** Loss on the held-out text after a step. */
export interface ValidationRow {
  readonly step: number;
  readonly attempt: number;
  /** Nats per token. */
  readonly validationLoss: number | null;
  readonly finite: boolean;
  /** Entropy of the training text under a bigram model, nats per token, where the job asks for it. */
  readonly bigramEntropy: number | null;
}

/** Whether a line of `metrics.jsonl` is a row of this version: other programs can write to the file too. */
export function isMetricsRow(value: unknown): value is MetricsRow {
  const row = value as Partial<StepRow & ValidationRow> | null;
  if (typeof row !== 'object' || row === null) return false;
  if (!Number.isInteger(row.step) || !Number.isInteger(row.attempt)) return false;
  const measured = 'loss' in row ? [row.loss, row.tokensPerSecond, row.stepMs] : [row.validationLoss];
  return measured.every((number) => number === null || typeof number === 'number');
}

/** True for a row of a step, false for one of a validation. */
export function isStepRow(row: MetricsRow): row is StepRow {
  return 'loss' in row;
}
