import type { RankError } from './rank-error.js';

/**
 * How much a fault says about the cause. One rank's death shows within moments as a broken connection at every
 * other, often before the death itself is known here; the first report is then not the cause.
 */
export type Evidence =
  /** Killed, crashed, silent, or failed in its own work: nothing else can be behind it. */
  | 'cause'
  /** Ended with an exit code and has not said why; its own report may be on the way. */
  | 'unexplained'
  /** Lost a peer: there is a cause elsewhere, unless it was the network. */
  | 'consequence';

const order: readonly Evidence[] = ['consequence', 'unexplained', 'cause'];

/**
 * How long to wait for a better explanation than the one at hand, in looks at what has come meanwhile: only time in
 * which this process was itself awake counts. One that was held up for long may have the explanation before it, unread.
 */
const lookMs = 100;
const numLooks = 10;

/** Picks the one fault that a job's end is put down to. */
export class FailureJudge {
  readonly #onVerdict: (error: RankError) => void;
  #best: { readonly error: RankError; readonly evidence: Evidence } | null = null;
  #timer: NodeJS.Timeout | null = null;
  #decided = false;

  /** @param onVerdict Called once, with the cause. */
  constructor(onVerdict: (error: RankError) => void) {
    this.#onVerdict = onVerdict;
  }

  add(error: RankError, evidence: Evidence): void {
    if (this.#decided) return;
    if (this.#best === null || order.indexOf(evidence) > order.indexOf(this.#best.evidence)) {
      this.#best = { error, evidence };
    }
    if (evidence === 'cause') this.#decide();
    else if (this.#timer === null) this.#wait(numLooks);
  }

  /** No verdict after this. */
  close(): void {
    this.#decided = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #wait(looksLeft: number): void {
    this.#timer = setTimeout(() => {
      if (looksLeft > 1) this.#wait(looksLeft - 1);
      else this.#decide();
    }, lookMs);
  }

  #decide(): void {
    const { error } = this.#best!;
    this.close();
    this.#onVerdict(error);
  }
}

/** Codes by which a rank reports that a peer, not itself, is in trouble. */
export function isConsequence(code: string): boolean {
  return code.startsWith('E-COMM') || code === 'E-RANK-ABORT';
}
