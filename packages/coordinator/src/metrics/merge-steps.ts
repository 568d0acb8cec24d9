import type { PerRankStep, StepMetrics, StepRow } from '@longscan/worker/protocol';

/** Steps that wait for a rank's report; an older one is given out as it is, so that a lost report holds up nothing. */
const maxWaiting = 64;

/**
 * Makes one row per step out of one report per rank. Values of the whole batch (loss, gradient norm, tokens) are
 * rank 0's, since every rank has the same; times and memory are those of the worst rank; bytes are summed.
 */
export class StepMerger {
  readonly #worldSize: number;
  readonly #attempt: number;
  readonly #onRow: (row: StepRow) => void;
  /** Reports by rank, by step, in the order in which the steps began to arrive. */
  readonly #waiting = new Map<number, (StepMetrics | null)[]>();
  /** What is to be done after a step's row, in the order in which it was asked for. */
  #afterwards: { readonly step: number; readonly action: () => void }[] = [];
  #lastStep = 0;

  constructor(worldSize: number, attempt: number, onRow: (row: StepRow) => void) {
    this.#worldSize = worldSize;
    this.#attempt = attempt;
    this.#onRow = onRow;
  }

  add(rank: number, report: StepMetrics): void {
    // Its row has been given out without it.
    if (report.step <= this.#lastStep) return;
    const reports = this.#waiting.get(report.step) ?? Array.from({ length: this.#worldSize }, () => null);
    this.#waiting.set(report.step, reports);
    reports[rank] = report;
    if (reports.every((one) => one !== null)) this.#flushUntil(report.step);
    else if (this.#waiting.size > maxWaiting) this.#flushUntil(this.#waiting.keys().next().value!);
  }

  /** Runs `action` once the rows up to `step` have been given out. */
  after(step: number, action: () => void): void {
    this.#afterwards.push({ step, action });
    if (step <= this.#lastStep) this.#runAfterwards();
  }

  /** Gives out what is still waiting. */
  flush(): void {
    this.#flushUntil(Number.POSITIVE_INFINITY);
  }

  /** A complete step ends the wait for all earlier ones: a rank reports its steps in order. */
  #flushUntil(lastStep: number): void {
    const due = [...this.#waiting.keys()].filter((step) => step <= lastStep).sort((a, b) => a - b);
    for (const step of due) {
      this.#onRow(mergeReports(step, this.#attempt, this.#waiting.get(step)!));
      this.#waiting.delete(step);
      this.#lastStep = step;
      this.#runAfterwards();
    }
    if (lastStep === Number.POSITIVE_INFINITY) this.#runAfterwards(lastStep);
  }

  #runAfterwards(lastStep = this.#lastStep): void {
    const due = this.#afterwards.filter(({ step }) => step <= lastStep);
    this.#afterwards = this.#afterwards.filter(({ step }) => step > lastStep);
    for (const { action } of due) action();
  }
}

function mergeReports(step: number, attempt: number, reports: readonly (StepMetrics | null)[]): StepRow {
  const present = reports.filter((report) => report !== null);
  const { loss, gradNorm, lr, tokens, mfu, extra } = present[0]!;
  const largest = (of: (report: StepMetrics) => number): number => Math.max(...present.map(of));
  const stepMs = largest((report) => report.stepMs);
  return {
    step,
    attempt,
    loss,
    gradNorm,
    finite: loss !== null && gradNorm !== null,
    lr,
    tokens,
    tokensPerSecond: stepMs > 0 ? (1000 * tokens) / stepMs : 0,
    mfu,
    stepMs,
    spExposedMs: present.some((report) => report.spExposedMs === null)
      ? null
      : largest((report) => report.spExposedMs!),
    spBytesSent: present.reduce((sum, one) => sum + one.spBytesSentForward + one.spBytesSentBackward, 0),
    peakBytes: largest((report) => report.peakBytes),
    perRank: reports.map((report) => (report === null ? null : perRank(report))),
    extra,
  };
}

function perRank(report: StepMetrics): PerRankStep {
  const { stepMs, spExposedMs, spBytesSentForward, spBytesSentBackward, peakBytes } = report;
  return { stepMs, spExposedMs, spBytesSentForward, spBytesSentBackward, peakBytes };
}
