/**
 * Decides which ranks have been silent for too long. Time is passed in, so it can be any monotonic clock.
 *
 * Only time in which this process was itself awake counts: a coordinator that was stopped, or whose event loop was
 * busy, has heard nobody and must not take that for the ranks' silence.
 */
export class HeartbeatMonitor {
  readonly #timeoutMs: number;
  readonly #maxTickMs: number;
  readonly #lastSeenMs = new Map<number, number>();
  /** Of ranks whose silence may last longer. */
  readonly #patienceMs = new Map<number, number>();
  #prevTickMs: number | null = null;

  /** @param maxTickMs Longest time between two calls of `silentRanks` that still counts as being awake. */
  constructor(timeoutMs: number, maxTickMs: number) {
    this.#timeoutMs = timeoutMs;
    this.#maxTickMs = maxTickMs;
  }

  /** A sign of life; starts the watch over a rank. */
  seen(rank: number, nowMs: number): void {
    this.#lastSeenMs.set(rank, nowMs);
  }

  /** From now on the rank may be silent for `patienceMs`. */
  bearWith(rank: number, patienceMs: number): void {
    this.#patienceMs.set(rank, patienceMs);
  }

  /** Ends the watch over a rank. */
  forget(rank: number): void {
    this.#lastSeenMs.delete(rank);
  }

  /** Ranks whose silence has reached the timeout, the most silent first. To be called at a steady pace. */
  silentRanks(nowMs: number): { readonly rank: number; readonly silentMs: number }[] {
    const sinceTickMs = this.#prevTickMs === null ? 0 : nowMs - this.#prevTickMs;
    this.#prevTickMs = nowMs;
    const asleepMs = sinceTickMs > this.#maxTickMs ? sinceTickMs : 0;
    if (asleepMs > 0) {
      for (const [rank, seenMs] of this.#lastSeenMs) {
        this.#lastSeenMs.set(rank, Math.min(nowMs, seenMs + asleepMs));
      }
    }
    return [...this.#lastSeenMs]
      .map(([rank, seenMs]) => ({ rank, silentMs: nowMs - seenMs }))
      .filter(({ rank, silentMs }) => silentMs >= (this.#patienceMs.get(rank) ?? this.#timeoutMs))
      .sort((a, b) => b.silentMs - a.silentMs);
  }
}
