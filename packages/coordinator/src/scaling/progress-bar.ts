import { LiveLine, type LiveStream } from '../live-line.js';
import { timeLeft } from '../time-left.js';
import type { CurveProgress } from './run-curve.js';

const width = 24;

/** Tells how far a curve is: on a terminal one line that is drawn anew, elsewhere a line for each launch. */
export class ProgressBar {
  readonly #line: LiveLine;
  #startMs: number | null = null;

  constructor(
    private readonly stream: LiveStream,
    private readonly repeats: number,
    env: Readonly<Record<string, string | undefined>> = process.env,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.#line = new LiveLine(stream, env);
  }

  show({ done, total, next }: CurveProgress): void {
    this.#startMs ??= this.now();
    this.#line.clear();
    if (next === null) return;
    const { sp, sequenceLength, batchSize } = next.point;
    const what = `sp ${sp}, ${batchSize} x ${sequenceLength.toLocaleString('en-US')} tokens, launch ${next.launch} of ${this.repeats}`;
    if (!this.#line.isLive) {
      this.stream.write(`[${done + 1}/${total}] ${what}\n`);
      return;
    }
    const filled = Math.round((width * done) / total);
    const bar = `${'█'.repeat(filled)}${'░'.repeat(width - filled)}`;
    this.#line.show(`${bar} ${done}/${total} | ${what}${timeLeft(this.now() - this.#startMs, done, total)}`);
  }

  /** A line above the bar. */
  note(text: string): void {
    this.#line.clear();
    this.stream.write(`${text}\n`);
  }
}
