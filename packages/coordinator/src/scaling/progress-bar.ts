import { formatDuration } from '../metrics/progress-line.js';
import type { CurveProgress } from './run-curve.js';

const width = 24;
const toLineStart = '\r\x1b[2K';

/** What a progress is written to. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

/** Tells how far a curve is: on a terminal one line that is drawn anew, elsewhere a line for each launch. */
export class ProgressBar {
  readonly #isLive: boolean;
  #isDrawn = false;
  #startMs: number | null = null;

  constructor(
    private readonly stream: ProgressStream,
    private readonly repeats: number,
    env: Readonly<Record<string, string | undefined>> = process.env,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.#isLive = stream.isTTY === true && env.TERM !== 'dumb';
  }

  show({ done, total, next }: CurveProgress): void {
    this.#startMs ??= this.now();
    this.#erase();
    if (next === null) return;
    const { sp, sequenceLength, batchSize } = next.point;
    const what = `sp ${sp}, ${batchSize} x ${sequenceLength.toLocaleString('en-US')} tokens, launch ${next.launch} of ${this.repeats}`;
    if (!this.#isLive) {
      this.stream.write(`[${done + 1}/${total}] ${what}\n`);
      return;
    }
    const filled = Math.round((width * done) / total);
    const bar = `${'█'.repeat(filled)}${'░'.repeat(width - filled)}`;
    const leftMs = done === 0 ? null : ((this.now() - this.#startMs) / done) * (total - done);
    const left = leftMs === null ? '' : ` | about ${formatDuration(leftMs)} left`;
    this.stream.write(`${bar} ${done}/${total} | ${what}${left}`);
    this.#isDrawn = true;
  }

  /** A line above the bar. */
  note(text: string): void {
    this.#erase();
    this.stream.write(`${text}\n`);
  }

  #erase(): void {
    if (this.#isDrawn) this.stream.write(toLineStart);
    this.#isDrawn = false;
  }
}
