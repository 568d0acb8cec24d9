import type { Progress } from '@longscan/worker/protocol';
import { LiveLine, type LiveStream } from './live-line.js';
import { timeLeft } from './time-left.js';

/** Tells on a terminal how far a task is that takes minutes. Elsewhere nothing. */
export class TaskLine {
  readonly #line: LiveLine | null;
  #startMs: number | null = null;

  /** Null: nowhere. */
  constructor(
    stream: LiveStream | null,
    env?: Readonly<Record<string, string | undefined>>,
    private readonly now: () => number = () => performance.now(),
  ) {
    this.#line = stream && new LiveLine(stream, env);
  }

  /** Before the first of its reports. */
  begin(): void {
    this.#line?.show('starting');
  }

  show({ done, total, next }: Omit<Progress, 'type'>): void {
    this.#startMs ??= this.now();
    this.#line?.show(`${done + 1} of ${total}: ${next}${timeLeft(this.now() - this.#startMs, done, total)}`);
  }

  clear(): void {
    this.#line?.clear();
  }
}
