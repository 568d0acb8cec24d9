import { formatBytes } from '../format.js';
import type { RunEvent } from '../run-folder/events.js';
import { formatStep, StepClock } from './progress-line.js';

export interface ConsoleOptions {
  /** A terminal that understands cursor movement; without it every fact is a line of its own. */
  readonly isLive: boolean;
  readonly useColor: boolean;
  /** Steps between two lines where there is no live block. */
  readonly logEvery: number;
  /** Width of the terminal in characters. */
  columns(): number;
}

/** What a stream and an environment allow: NO_COLOR and TERM=dumb are obeyed. */
export function consoleOptions(
  stream: { readonly isTTY?: boolean; readonly columns?: number },
  env: Readonly<Record<string, string | undefined>>,
  logEvery: number,
): ConsoleOptions {
  const isLive = stream.isTTY === true && env.TERM !== 'dumb';
  const useColor = isLive && (env.NO_COLOR === undefined || env.NO_COLOR === '');
  return { isLive, useColor, logEvery, columns: () => stream.columns || 80 };
}

const up = '\x1b[1A';
const clearLine = '\x1b[2K';
const colors = { red: '\x1b[31m', yellow: '\x1b[33m', bold: '\x1b[1m' } as const;
const plain = '\x1b[0m';

/**
 * A run as text: on a terminal one live block of two lines that is drawn anew at each step, with everything else in
 * lines above it; elsewhere plain lines. It writes nothing itself: each call returns what is to be written.
 */
export class TrainingConsole {
  readonly #options: ConsoleOptions;
  readonly #clock = new StepClock();
  #steps = 0;
  #isFirstStep = true;
  /** Lines of the live block that stand on the screen. */
  #block: readonly string[] = [];

  constructor(options: ConsoleOptions) {
    this.#options = options;
  }

  show(event: RunEvent): string {
    switch (event.event) {
      case 'run':
        return this.#line(`run ${event.runDir}${event.attempt > 1 ? `, launch ${event.attempt}` : ''}`);
      case 'plan': {
        this.#steps = event.steps;
        const { sp, dp, strategy, blocks, numParameters, tokensPerStep } = event;
        const size = `${numParameters} parameters, ${tokensPerStep} tokens a step`;
        const layout = `sp ${sp} x dp ${dp}, strategy ${strategy}, ${blocks} blocks`;
        return [`plan ${size}, ${layout}`, ...event.notes].map((text) => this.#line(text)).join('');
      }
      case 'launch':
        return event.resumeFrom === null ? '' : this.#line(`resumes from ${event.resumeFrom}`);
      case 'step':
        return this.#step(event);
      case 'validation': {
        const loss = event.validationLoss?.toFixed(4) ?? 'not finite';
        const baseline =
          event.bigramEntropy === null ? '' : ` (bigram entropy ${event.bigramEntropy.toFixed(4)})`;
        return this.#line(`validation after step ${event.step}: loss ${loss}${baseline} nats per token`);
      }
      case 'checkpoint':
        return this.#line(
          `checkpoint ${event.path} (${formatBytes(event.bytes)}, ${event.saveMs.toFixed(0)} ms)`,
        );
      case 'incident': {
        const rank = event.rank === null ? '' : `rank ${event.rank}: `;
        const text = `[${event.code}] ${rank}${event.message}`;
        return this.#line(event.severity === 'warning' ? this.#paint('yellow', text) : text);
      }
      case 'done': {
        this.#leaveBlock();
        const how = event.finished ? 'done' : 'stopped';
        const loss =
          event.validationLoss === null ? '' : `, validation loss ${event.validationLoss.toFixed(4)}`;
        const checkpoint = event.checkpoint === null ? ', no checkpoint' : `, checkpoint ${event.checkpoint}`;
        return this.#line(this.#paint('bold', `${how} after step ${event.step}${loss}${checkpoint}`));
      }
      case 'error':
        this.#leaveBlock();
        return [
          ...event.logTail.map((line) => this.#line(`rank ${event.rank} | ${line}`)),
          this.#line(this.#paint('red', event.message)),
        ].join('');
      case 'rendezvous':
      case 'stop':
        return '';
    }
  }

  /** A remark above the live block. */
  note(text: string): string {
    return this.#line(text);
  }

  #step(row: Extract<RunEvent, { event: 'step' }>): string {
    const etaMs = this.#clock.etaMs(row.stepMs, Math.max(0, this.#steps - row.step));
    const [quality, speed] = formatStep(row, { steps: this.#steps }, etaMs);
    if (this.#options.isLive)
      return this.#erase() + this.#draw([this.#paint('bold', this.#fit(quality)), this.#fit(speed)]);
    const isDue = this.#isFirstStep || row.step % this.#options.logEvery === 0 || row.step === this.#steps;
    this.#isFirstStep = false;
    return isDue ? `${quality} | ${speed}\n` : '';
  }

  /** The block stays on the screen; what is written next comes below it. */
  #leaveBlock(): void {
    this.#block = [];
  }

  /** A line that stays, above the block if there is one. */
  #line(text: string): string {
    const block = this.#block;
    return `${this.#erase()}${text}\n${this.#draw(block)}`;
  }

  #erase(): string {
    const lines = this.#block.length;
    this.#block = [];
    return `${up}${clearLine}`.repeat(lines);
  }

  #draw(block: readonly string[]): string {
    this.#block = block;
    return block.map((line) => `${line}\n`).join('');
  }

  /** A line that wraps could not be erased by counting lines. */
  #fit(text: string): string {
    return text.slice(0, Math.max(1, this.#options.columns() - 1));
  }

  #paint(color: keyof typeof colors, text: string): string {
    return this.#options.useColor ? `${colors[color]}${text}${plain}` : text;
  }
}
