import { setTimeout as delay } from 'node:timers/promises';
import { LongscanError } from '@longscan/kernels/errors';
import { Dealer } from 'zeromq';
import { decodeFrame, encodeFrame } from '../protocol/codec.js';
import { frameLimits } from '../protocol/frame-scanner.js';
import type { KeyFile } from '../protocol/key-file.js';
import {
  type CoordinatorBody,
  type CoordinatorFrame,
  coordinatorFrameSchema,
  protocolVersion,
  type RankBody,
} from '../protocol/messages.js';
import type { RankEnv } from './rank-env.js';

/** Reports that wait for a coordinator that is busy; beyond that they are dropped and counted. */
const maxQueuedFrames = 1000;

/** Between two tries to queue what must not be lost. */
const retryMs = 20;

/** Frequent enough that a lost one does no harm; everything else waits for room in the queue: for a checkpoint ranks wait. */
const droppable: ReadonlySet<RankBody['type']> = new Set([
  ...(['heartbeat', 'step', 'validation', 'incident', 'progress'] as const),
]);

/**
 * The rank's end of the control plane: one ZeroMQ dealer under CURVE, frames in both directions.
 *
 * The dealer sets no routing id: which rank speaks is shown by the secret in Hello, never by a name the peer chose.
 * ZMTP heartbeats stay off: ours say more, and a coordinator that is merely stopped must not lose its connections.
 */
export class CoordinatorLink {
  readonly #socket: Dealer;
  readonly #env: RankEnv;
  #seq = 0;
  #lastCommand = 0;
  /** Of the last frame that must arrive. */
  #lastOwed = 0;
  /** Of the last frame that the coordinator has read. */
  #lastReceived = 0;
  #onReceived = () => {};
  #numDropped = 0;
  #isClosed = false;
  #sending: Promise<void> = Promise.resolve();

  constructor(env: RankEnv, keys: KeyFile) {
    this.#env = env;
    this.#socket = new Dealer({
      curvePublicKey: keys.publicKey,
      curveSecretKey: keys.secretKey,
      curveServerKey: keys.serverKey,
      maxMessageSize: frameLimits.maxFrameBytes,
      sendHighWaterMark: maxQueuedFrames,
      receiveHighWaterMark: maxQueuedFrames,
      sendTimeout: 0,
      // Until close() knows better: a thread that fails must not hold up the process.
      linger: 0,
    });
    try {
      this.#socket.connect(env.endpoint);
    } catch (error) {
      this.#socket.close();
      throw error;
    }
  }

  /** Sequence number of the last command that arrived. */
  get lastCommand(): number {
    return this.#lastCommand;
  }

  /** Frames that the send queue had no room for. */
  get numDropped(): number {
    return this.#numDropped;
  }

  /** Queues a frame and returns; frames leave in the order of the calls. */
  send(body: RankBody): void {
    if (this.#isClosed) return;
    const frame = encodeFrame({
      version: protocolVersion,
      jobId: this.#env.jobId,
      epoch: this.#env.epoch,
      rank: this.#env.rank,
      seq: ++this.#seq,
      body,
    });
    const mustArrive = !droppable.has(body.type);
    if (mustArrive) this.#lastOwed = this.#seq;
    // A ZeroMQ socket takes one send at a time.
    this.#sending = this.#sending.then(() => this.#sendFrame(frame, mustArrive));
  }

  /** What the coordinator says, each command once. Ends when the link is closed. */
  async *bodies(): AsyncGenerator<CoordinatorBody> {
    for await (const parts of this.#socket) {
      const frame = this.#read(parts);
      if (frame === null) continue;
      if (frame.seq > 0) {
        if (frame.seq <= this.#lastCommand) continue;
        this.#lastCommand = frame.seq;
      }
      if (frame.body.type === 'beat') {
        this.#lastReceived = frame.body.received;
        this.#onReceived();
      }
      yield frame.body;
    }
  }

  /**
   * Resolves once the coordinator has read all that must arrive, which its answers to heartbeats tell; never when it
   * is gone. Neither ZeroMQ nor TCP says so: what a socket has taken is lost when its process ends and the peer, which
   * is behind, writes to it.
   */
  async delivered(): Promise<void> {
    while (this.#lastReceived < this.#lastOwed) {
      await new Promise<void>((resolve) => {
        this.#onReceived = resolve;
      });
    }
  }

  /**
   * Closes once everything is queued, or at the latest after `waitMs`. ZeroMQ then has the same time again to deliver
   * it, which the end of the thread waits for.
   */
  async close(waitMs: number): Promise<void> {
    this.#isClosed = true;
    await Promise.race([this.#sending, delay(waitMs, null, { ref: false })]);
    this.#socket.linger = waitMs;
    this.#socket.close();
  }

  /** A send fails at once when the queue is full. */
  async #sendFrame(frame: Buffer, mustArrive: boolean): Promise<void> {
    while (!this.#socket.closed) {
      try {
        await this.#socket.send(frame);
        return;
      } catch {
        if (!mustArrive) {
          this.#numDropped++;
          return;
        }
        await delay(retryMs);
      }
    }
  }

  /** The frame, or null for one that breaks a rule or belongs to another job or epoch: such are ignored. */
  #read([bytes, ...more]: readonly Buffer[]): CoordinatorFrame | null {
    if (bytes === undefined || more.length > 0) return null;
    const { jobId, epoch } = this.#env;
    try {
      const frame = decodeFrame(bytes, coordinatorFrameSchema, 'coordinator');
      return frame.jobId === jobId && frame.epoch === epoch ? frame : null;
    } catch (error) {
      if (error instanceof LongscanError) return null;
      throw error;
    }
  }
}
