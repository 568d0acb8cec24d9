import type { AttentionCost } from './attention-strategy.js';
import type { LinkCost } from './strategy.js';

/** Notes what one rank sends to another; nothing is noted of a rank to itself. */
export type Send = (from: number, to: number, bytes: number) => void;

/** What ranks send, phase by phase: a phase begins when the one before has arrived, and in it everything is under way at once. */
export class AttentionTraffic {
  private seconds = 0;
  private readonly sent: { forward: number[]; backward: number[] };

  constructor(
    private readonly numRanks: number,
    private readonly link: LinkCost,
  ) {
    this.sent = { forward: this.nothing(), backward: this.nothing() };
  }

  /** `body` says what travels in the phase. The busiest end of a link is what takes time. */
  phase(pass: 'forward' | 'backward', body: (send: Send) => void): this {
    const [sent, received] = [this.nothing(), this.nothing()];
    body((from, to, bytes) => {
      if (from === to) return;
      sent[from]! += bytes;
      received[to]! += bytes;
    });
    const most = [...sent, ...received].reduce((max, bytes) => Math.max(max, bytes), 0);
    if (most > 0) this.seconds += this.link.latencyS + most / this.link.bandwidthBytesPerS;
    for (const [rank, bytes] of sent.entries()) this.sent[pass][rank]! += bytes;
    return this;
  }

  get cost(): AttentionCost {
    const { forward, backward } = this.sent;
    return { seconds: this.seconds, bytesSentForward: forward, bytesSentBackward: backward };
  }

  private nothing(): number[] {
    return new Array<number>(this.numRanks).fill(0);
  }
}
