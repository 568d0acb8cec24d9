import { timingSafeEqual } from 'node:crypto';
import {
  type CoordinatorBody,
  decodeFrame,
  encodeFrame,
  frameLimits,
  type Hello,
  LongscanError,
  protocolVersion,
  type RankBody,
  type RankFrame,
  rankFrameSchema,
  sameVersion,
} from '@longscan/worker/protocol';
import { Context, capability, Router } from 'zeromq';
import type { RankKeys } from './rank-keys.js';
import { ZapHandler } from './zap.js';

const zapDomain = 'longscan';
const handshakeTimeoutMs = 5000;
/** Frames that wait for one rank before it counts as unreachable. */
const maxQueuedFrames = 1000;
/** Peers whose frames are dropped unread; beyond that the oldest is forgotten and judged again. */
const maxIgnoredPeers = 1024;

export interface ControlServerOptions {
  readonly jobId: string;
  readonly epoch: number;
  readonly worldSize: number;
  readonly keys: RankKeys;
  /** Address to listen on; ranks of other hosts need one they can reach. */
  readonly host: string;
}

/** What the server tells its owner. Handlers must not throw. */
export interface ControlHandlers {
  onHello(rank: number, hello: Hello): void;
  onBody(rank: number, body: Exclude<RankBody, Hello>): void;
  /** A rank broke the protocol; it is cut off. */
  onRankFault(rank: number, error: LongscanError): void;
  /** Somebody who is not (or not yet) a rank was turned away. */
  onRefused(error: LongscanError): void;
}

interface Peer {
  readonly identity: Buffer;
  lastSeq: number;
  /** Commands that the rank has not acknowledged, oldest first. */
  unacknowledged: { readonly seq: number; readonly frame: Buffer; resend: boolean }[];
}

/**
 * The coordinator's end of the control plane: a ZeroMQ router under CURVE with a ZAP allow-list.
 *
 * Three gates, in this order: the peer's key is one of the job's (ZAP); every frame passes the structural scan and
 * the schema; the first frame is a Hello whose secret proves the rank, which binds the connection to (rank, epoch)
 * for good. A peer that fails at the second or third is ignored from then on; nothing it sends can end this process.
 */
export class ControlServer {
  readonly #options: ControlServerOptions;
  readonly #handlers: ControlHandlers;
  readonly #zap: ZapHandler;
  readonly #router: Router;
  readonly #peers = new Map<number, Peer>();
  readonly #rankOf = new Map<string, number>();
  readonly #ignored = new Set<string>();
  readonly #lastCommand = new Map<number, number>();
  #numRefusedFrames = 0;
  #sending: Promise<void> = Promise.resolve();

  private constructor(
    options: ControlServerOptions,
    handlers: ControlHandlers,
    context: Context,
    zap: ZapHandler,
  ) {
    this.#options = options;
    this.#handlers = handlers;
    this.#zap = zap;
    this.#router = new Router({
      context,
      curveServer: true,
      curveSecretKey: options.keys.serverSecretKey,
      zapDomain,
      zapEnforceDomain: true,
      // A second connection never takes over the identity of the first.
      handover: false,
      mandatory: true,
      maxMessageSize: frameLimits.maxFrameBytes,
      sendHighWaterMark: maxQueuedFrames,
      receiveHighWaterMark: maxQueuedFrames,
      // One rank that does not read must not hold up what is meant for the others.
      sendTimeout: 0,
      handshakeInterval: handshakeTimeoutMs,
      // It is closed when the ranks' processes have ended: nobody is left to read what is queued.
      linger: 0,
    });
  }

  /** @throws LongscanError E-AUTH (exit code 3) when this ZeroMQ cannot encrypt. */
  static async open(options: ControlServerOptions, handlers: ControlHandlers): Promise<ControlServer> {
    if (capability.curve !== true) {
      throw new LongscanError({
        code: 'E-AUTH',
        where: 'zeromq',
        found: 'a build without CURVE',
        expected: 'one that can authenticate and encrypt the control plane',
        fix: 'install the prebuilt zeromq package',
        exitCode: 3,
      });
    }
    // A context of its own per launch, since ZAP allows one handler per context.
    const context = new Context();
    const zap = await ZapHandler.open(context, zapDomain, options.keys.clientKeys);
    const server = new ControlServer(options, handlers, context, zap);
    await server.#router.bind(`tcp://${options.host}:*`);
    void server.#serve();
    return server;
  }

  /** ZeroMQ endpoint with the port that was free. */
  get endpoint(): string {
    return this.#router.lastEndpoint!;
  }

  /** Connections turned away by key, and frames dropped, since the start. */
  get counters(): { readonly deniedConnections: number; readonly refusedFrames: number } {
    return { deniedConnections: this.#zap.numDenied, refusedFrames: this.#numRefusedFrames };
  }

  /** Sends something that needs no acknowledgement; lost if the rank is gone. */
  send(rank: number, body: CoordinatorBody): void {
    const peer = this.#peers.get(rank);
    if (peer !== undefined) this.#sendFrame(peer.identity, this.#encode(0, body));
  }

  /** Sends a command; sent again with later heartbeats until the rank has acknowledged it. */
  command(rank: number, body: CoordinatorBody): void {
    const peer = this.#peers.get(rank);
    if (peer === undefined) return;
    const seq = (this.#lastCommand.get(rank) ?? 0) + 1;
    this.#lastCommand.set(rank, seq);
    const frame = this.#encode(seq, body);
    peer.unacknowledged.push({ seq, frame, resend: false });
    this.#sendFrame(peer.identity, frame);
  }

  /** Stops listening and drops what is queued. */
  async close(): Promise<void> {
    await this.#sending;
    this.#router.close();
    this.#zap.close();
  }

  #encode(seq: number, body: CoordinatorBody): Buffer {
    const { jobId, epoch } = this.#options;
    return encodeFrame({ version: protocolVersion, jobId, epoch, seq, body });
  }

  #sendFrame(identity: Buffer, frame: Buffer): void {
    // A rank that is gone or does not read shows as a silent one; commands are sent again.
    this.#sending = this.#sending.then(() => this.#router.send([identity, frame])).catch(() => {});
  }

  async #serve(): Promise<void> {
    for await (const [identity, frame, ...more] of this.#router) {
      const name = identity!.toString('hex');
      if (this.#ignored.has(name)) {
        this.#numRefusedFrames++;
        continue;
      }
      try {
        if (frame === undefined || more.length > 0) {
          throw refusal('E-WIRE-PARTS', this.#where(name), `${more.length + 1} parts`, 'one frame');
        }
        this.#receive(identity!, name, decodeFrame(frame, rankFrameSchema, this.#where(name)));
      } catch (error) {
        this.#refuse(identity!, name, asRefusal(error, this.#where(name)));
      }
    }
  }

  #where(name: string): string {
    const rank = this.#rankOf.get(name);
    return rank === undefined ? 'a peer that has not said hello' : `rank ${rank}`;
  }

  #receive(identity: Buffer, name: string, frame: RankFrame): void {
    const { jobId, epoch } = this.#options;
    const where = this.#where(name);
    if (frame.jobId !== jobId)
      throw refusal('E-WIRE-JOB', where, `job ${frame.jobId}`, `job ${jobId}`, leftOver);
    if (frame.epoch !== epoch)
      throw refusal('E-WIRE-EPOCH', where, `epoch ${frame.epoch}`, `epoch ${epoch}`, leftOver);
    const rank = this.#rankOf.get(name);
    if (rank === undefined) {
      this.#bind(identity, name, frame);
      return;
    }
    const peer = this.#peers.get(rank)!;
    if (frame.rank !== rank)
      throw refusal('E-WIRE-RANK', where, `a frame of rank ${frame.rank}`, 'its own', ownProcesses);
    if (frame.seq <= peer.lastSeq)
      throw refusal('E-WIRE-REPLAY', where, `frame ${frame.seq} again`, 'a new one', ownProcesses);
    if (frame.body.type === 'hello') throw refusal('E-WIRE-HELLO', where, 'a second hello', 'one');
    peer.lastSeq = frame.seq;
    if (frame.body.type === 'heartbeat') {
      this.#acknowledge(peer, frame.body.ack);
      this.send(rank, { type: 'beat', received: frame.seq });
    }
    this.#handlers.onBody(rank, frame.body);
  }

  #bind(identity: Buffer, name: string, { rank, seq, body }: RankFrame): void {
    const where = this.#where(name);
    const { worldSize, keys } = this.#options;
    if (body.type !== 'hello') throw refusal('E-WIRE-HELLO', where, `a '${body.type}'`, 'a hello first');
    if (rank >= worldSize)
      throw refusal('E-RANK', where, `rank ${rank}`, `a rank below ${worldSize}`, ownProcesses);
    if (!timingSafeEqual(Buffer.from(body.secret, 'hex'), keys.secret(rank))) {
      throw refusal(
        'E-AUTH',
        where,
        `a hello for rank ${rank} with a wrong secret`,
        "that rank's",
        ownProcesses,
      );
    }
    if (this.#peers.has(rank)) {
      const claimant = `process ${body.pid} on ${body.host}`;
      throw refusal(
        'E-RANK-DUP',
        where,
        `${claimant} claims rank ${rank}`,
        'a rank that nobody holds',
        ownProcesses,
      );
    }
    this.#peers.set(rank, { identity, lastSeq: seq, unacknowledged: [] });
    this.#rankOf.set(name, rank);
    keys.remove(rank);
    this.#handlers.onHello(rank, body);
  }

  /** What a rank has not seen by its second heartbeat after the sending is sent again. */
  #acknowledge(peer: Peer, ack: number): void {
    peer.unacknowledged = peer.unacknowledged.filter(({ seq }) => seq > ack);
    for (const command of peer.unacknowledged) {
      if (command.resend) this.#sendFrame(peer.identity, command.frame);
      command.resend = true;
    }
  }

  #refuse(identity: Buffer, name: string, error: LongscanError): void {
    this.#numRefusedFrames++;
    if (this.#ignored.size >= maxIgnoredPeers) this.#ignored.delete(this.#ignored.values().next().value!);
    this.#ignored.add(name);
    const reason = error.message.slice(0, 8000);
    this.#sendFrame(identity, this.#encode(0, { type: 'refused', code: error.code, reason }));
    const rank = this.#rankOf.get(name);
    if (rank === undefined) {
      this.#handlers.onRefused(error);
      return;
    }
    this.#rankOf.delete(name);
    this.#handlers.onRankFault(rank, error);
  }
}

/** Whatever a frame sets off ends its sender's connection and nothing else. */
function asRefusal(error: unknown, where: string): LongscanError {
  if (error instanceof LongscanError) return error;
  return new LongscanError({
    code: 'E-WIRE-DECODE',
    where,
    found: String(error),
    exitCode: 7,
    cause: error,
    fix: sameVersion,
  });
}

/** A process that belongs to no rank of this launch. */
const leftOver = 'end processes that are left over from another launch';

const ownProcesses = 'start ranks by the launcher of this job alone, each once';

function refusal(
  code: string,
  where: string,
  found: string,
  expected: string,
  fix = sameVersion,
): LongscanError {
  return new LongscanError({ code, where, found, expected, exitCode: 7, fix });
}
