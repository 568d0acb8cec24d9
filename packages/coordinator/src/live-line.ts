const toLineStart = '\r\x1b[2K';

/** What a line is drawn on. */
export interface LiveStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** The last line of a terminal, drawn anew each time; elsewhere, and on a dumb terminal, nothing. */
export class LiveLine {
  readonly isLive: boolean;
  #isDrawn = false;

  constructor(
    private readonly stream: LiveStream,
    env: Readonly<Record<string, string | undefined>> = process.env,
  ) {
    this.isLive = stream.isTTY === true && env.TERM !== 'dumb';
  }

  /** As much of it as fits: a line that wraps cannot be drawn anew. */
  show(text: string): void {
    if (!this.isLive) return;
    this.clear();
    this.stream.write(text.slice(0, (this.stream.columns ?? Number.POSITIVE_INFINITY) - 1));
    this.#isDrawn = true;
  }

  clear(): void {
    if (this.#isDrawn) this.stream.write(toLineStart);
    this.#isDrawn = false;
  }
}
