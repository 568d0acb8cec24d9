import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type {
  Assignment,
  Done,
  Failed,
  Heartbeat,
  Hello,
  LongscanError,
  RankBody,
  Report,
} from '@longscan/worker/protocol';
import type { Launcher, LaunchRequest, RankExit, Submission } from '../launcher.js';
import { Rendezvous } from '../rendezvous/rendezvous.js';
import { ControlServer } from './control-server.js';
import { FailureJudge, isConsequence } from './failure-judge.js';
import { HeartbeatMonitor } from './heartbeat-monitor.js';
import { diedError, failedError, lingeringError, RankError, silentError } from './rank-error.js';
import { RankKeys } from './rank-keys.js';
import { absentError, stopTimeoutError, unreadyError } from './session-errors.js';

/** What all ranks of a session are told alike. */
export type SharedAssignment = Omit<Assignment, 'rank' | 'worldSize' | 'jobToken' | 'timeouts'>;

export interface SessionTimeouts {
  /** From the start until every rank has said hello, and again from there until every rank is ready. */
  readonly rendezvousMs: number;
  readonly heartbeatIntervalMs: number;
  readonly heartbeatTimeoutMs: number;
  readonly collectiveMs: number;
  /** From a stop until every rank has ended. */
  readonly stopMs: number;
}

export interface SessionOptions {
  readonly assignment: SharedAssignment;
  readonly launcher: Launcher;
  readonly request: LaunchRequest;
  readonly timeouts: SessionTimeouts;
  /** Address that the control plane listens on. */
  readonly host: string;
}

/** What a session tells its owner while it lasts. Handlers must not throw. */
export interface SessionHandlers {
  onReport(rank: number, report: Report): void;
  /** All ranks have said hello; hosts by rank. */
  onRendezvous(hosts: readonly string[]): void;
  /** A peer was turned away; the session goes on. */
  onRefused(error: LongscanError): void;
}

/** Results by rank, or the error that ended the session. */
export type SessionOutcome =
  | { readonly ok: true; readonly results: readonly Done['result'][] }
  | { readonly ok: false; readonly error: LongscanError };

/** From Abort to SIGKILL; the rank itself keeps the same limit, so that it holds when one of the two is stuck. */
const abortGraceMs = 2000;
/** Silence of the coordinator that a rank without a lifeline survives. */
const coordinatorLostMs = 10_000;
const numLogLines = 50;

class RankRecord {
  host: string | null = null;
  heartbeat: Heartbeat | null = null;
  numSteps = 0;
  result: Done['result'] | null = null;
  /** It has said why. */
  hasFailed = false;
  exited = false;
  resolveGone!: () => void;
  readonly gone = new Promise<void>((resolve) => {
    this.resolveGone = resolve;
  });
}

/**
 * One launch of a set of ranks, from their processes' start to their processes' end: keys, control server, launcher,
 * rendezvous, heartbeats, stop and abort. Whatever happens, `ended` resolves, and by then no process is left.
 */
export class RankSession {
  /** Resolves (never rejects) when every rank's process has ended. */
  readonly ended: Promise<SessionOutcome>;
  readonly #options: SessionOptions;
  readonly #handlers: SessionHandlers;
  readonly #keys: RankKeys;
  readonly #monitor: HeartbeatMonitor;
  readonly #judge = new FailureJudge((error) => this.#fail(error));
  readonly #rendezvous: Rendezvous;
  readonly #ranks: readonly RankRecord[];
  readonly #jobToken = randomBytes(32).toString('hex');
  #resolveEnded!: (outcome: SessionOutcome) => void;
  #server: ControlServer | null = null;
  #submission: Promise<Submission> | null = null;
  #watch: NodeJS.Timeout | null = null;
  #rendezvousTimer: NodeJS.Timeout | null = null;
  #stopTimer: NodeJS.Timeout | null = null;
  #stop: { readonly save: boolean } | null = null;
  #failed = false;

  private constructor(options: SessionOptions, handlers: SessionHandlers) {
    const numRanks = options.request.ranks.length;
    const { heartbeatTimeoutMs, heartbeatIntervalMs } = options.timeouts;
    this.#options = options;
    this.#handlers = handlers;
    this.#keys = new RankKeys(numRanks);
    this.#monitor = new HeartbeatMonitor(heartbeatTimeoutMs, 2 * heartbeatIntervalMs);
    this.#rendezvous = new Rendezvous(numRanks);
    this.#ranks = Array.from({ length: numRanks }, () => new RankRecord());
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve;
    });
  }

  /** Opens the control plane and starts the ranks. */
  static async start(options: SessionOptions, handlers: SessionHandlers): Promise<RankSession> {
    const session = new RankSession(options, handlers);
    try {
      await session.#open();
    } catch (error) {
      await session.#close();
      throw error;
    }
    return session;
  }

  /** ZeroMQ endpoint of the control plane. */
  get endpoint(): string {
    return this.#server!.endpoint;
  }

  /** Connections turned away by key, and frames dropped, since the start. */
  get refusals(): ControlServer['counters'] {
    return this.#server!.counters;
  }

  /** Asks every rank to end after the step under way. */
  stop(save: boolean): void {
    if (this.#stop !== null || this.#failed) return;
    this.#stop = { save };
    for (const rank of this.#ranks.keys()) this.#server?.command(rank, { type: 'stop', save });
    const { stopMs } = this.#options.timeouts;
    this.#stopTimer = setTimeout(() => this.#fail(stopTimeoutError(this.#running(), stopMs)), stopMs);
  }

  /** Ends every rank within the grace period, saving nothing. */
  kill(error: LongscanError): void {
    this.#fail(error);
  }

  async #open(): Promise<void> {
    const { assignment, launcher, request, timeouts, host } = this.#options;
    const { jobId, epoch } = assignment;
    const worldSize = request.ranks.length;
    this.#server = await ControlServer.open(
      { jobId, epoch, worldSize, keys: this.#keys, host },
      {
        onHello: (rank, hello) => this.#onHello(rank, hello),
        onBody: (rank, body) => this.#onBody(rank, body),
        onRankFault: (rank, error) => this.#judge.add(new RankError({ ...error.parts, rank }), 'cause'),
        onRefused: (error) => this.#handlers.onRefused(error),
      },
    );
    const endpoint = this.#server.endpoint;
    this.#watch = setInterval(() => this.#checkHeartbeats(), timeouts.heartbeatIntervalMs / 2);
    this.#rendezvousTimer = setTimeout(
      () => this.#fail(absentError(this.#rendezvous.absent, worldSize, timeouts.rendezvousMs)),
      timeouts.rendezvousMs,
    );
    this.#submission = launcher.submit(request, {
      env: (rank) => ({
        LONGSCAN_COORDINATOR: endpoint,
        LONGSCAN_JOB_ID: jobId,
        LONGSCAN_EPOCH: String(epoch),
        LONGSCAN_KEY_FILE: this.#keys.path(rank),
      }),
      onExit: (exit) => this.#onExit(exit),
    });
    await this.#submission;
  }

  #onHello(rank: number, hello: Hello): void {
    const { assignment, timeouts } = this.#options;
    this.#ranks[rank]!.host = hello.host;
    this.#monitor.seen(rank, performance.now());
    this.#rendezvous.hello(rank, hello.host);
    this.#server!.command(rank, {
      type: 'welcome',
      assignment: {
        ...assignment,
        rank,
        worldSize: this.#ranks.length,
        jobToken: this.#jobToken,
        timeouts: {
          heartbeatIntervalMs: timeouts.heartbeatIntervalMs,
          abortGraceMs,
          coordinatorLostMs,
          collectiveTimeoutMs: timeouts.collectiveMs,
        },
      },
    });
    if (this.#stop !== null) this.#server!.command(rank, { type: 'stop', save: this.#stop.save });
    if (this.#rendezvous.absent.length === 0) this.#onAllPresent();
  }

  #onAllPresent(): void {
    const { rendezvousMs } = this.#options.timeouts;
    clearTimeout(this.#rendezvousTimer!);
    this.#handlers.onRendezvous(this.#ranks.map((rank) => rank.host!));
    // A single rank has nobody to meet.
    if (this.#ranks.length === 1 || this.#rendezvous.table !== null) return;
    this.#rendezvousTimer = setTimeout(
      () => this.#fail(unreadyError(this.#rendezvous.unready, this.#ranks.length, rendezvousMs)),
      rendezvousMs,
    );
  }

  #onBody(rank: number, body: Exclude<RankBody, Hello>): void {
    const record = this.#ranks[rank]!;
    // From its Done on its end is what is waited for, however long it beats.
    if (record.result === null) this.#monitor.seen(rank, performance.now());
    switch (body.type) {
      case 'heartbeat':
        this.#onHeartbeat(rank, body);
        break;
      case 'ready':
        this.#onReady(rank, body.addresses);
        break;
      case 'done':
        record.result = body.result;
        // Its process gives back what it holds, which on a GPU that others use takes seconds.
        this.#monitor.bearWith(rank, this.#options.timeouts.stopMs);
        this.#finishIfComplete();
        break;
      case 'failed':
        this.#onFailed(rank, body);
        break;
      case 'step':
        record.numSteps++;
        this.#handlers.onReport(rank, body);
        break;
      case 'checkpoint':
        // A single rank has nobody to wait for.
        if (this.#ranks.length > 1)
          for (const each of this.#ranks.keys()) this.#server!.command(each, { type: 'saved' });
        this.#handlers.onReport(rank, body);
        break;
      default:
        this.#handlers.onReport(rank, body);
    }
  }

  #onHeartbeat(rank: number, heartbeat: Heartbeat): void {
    const record = this.#ranks[rank]!;
    const prev = record.heartbeat?.numDropped ?? 0;
    record.heartbeat = heartbeat;
    const { numDropped } = heartbeat;
    // Told when the count gets another digit: often enough to know, seldom enough to read.
    if (String(numDropped).length === String(prev).length && prev > 0 === numDropped > 0) return;
    const message = `${numDropped} of its reports were dropped: the coordinator does not keep up`;
    this.#handlers.onReport(rank, { type: 'incident', severity: 'warning', code: 'W-WIRE-DROPPED', message });
  }

  #onReady(rank: number, addresses: Readonly<Record<string, string>>): void {
    this.#rendezvous.ready(rank, addresses);
    const { table } = this.#rendezvous;
    if (table === null) return;
    clearTimeout(this.#rendezvousTimer!);
    for (const other of this.#ranks.keys()) this.#server!.command(other, table);
  }

  #onFailed(rank: number, failed: Failed): void {
    this.#ranks[rank]!.hasFailed = true;
    this.#judge.add(failedError(rank, failed), isConsequence(failed.code) ? 'consequence' : 'cause');
  }

  #onExit(exit: RankExit): void {
    const record = this.#ranks[exit.rank]!;
    record.exited = true;
    record.resolveGone();
    this.#monitor.forget(exit.rank);
    const died = diedError(exit, record.numSteps);
    if (exit.signal !== null || exit.startError !== null) this.#judge.add(died, 'cause');
    // A process ends in good order only after its Done or Failed was read here: who has sent neither crashed or left.
    else if (!record.hasFailed && (exit.exitCode !== 0 || record.result === null))
      this.#judge.add(died, 'unexplained');
    this.#finishIfComplete();
  }

  #finishIfComplete(): void {
    if (this.#failed || this.#running().length > 0) return;
    const results = this.#ranks.flatMap(({ result }) => (result === null ? [] : [result]));
    if (results.length === this.#ranks.length) void this.#end({ ok: true, results });
  }

  #checkHeartbeats(): void {
    const [silent] = this.#monitor.silentRanks(performance.now());
    if (silent === undefined) return;
    const { heartbeat, result } = this.#ranks[silent.rank]!;
    const doing = heartbeat === null ? 'at its start' : `in step ${heartbeat.step}, phase ${heartbeat.phase}`;
    const error =
      result === null
        ? silentError(silent.rank, silent.silentMs, doing)
        : lingeringError(silent.rank, silent.silentMs, this.#options.timeouts.stopMs);
    this.#judge.add(error, 'cause');
  }

  /** Ranks whose processes have not ended. */
  #running(): number[] {
    return this.#ranks.flatMap((record, rank) => (record.exited ? [] : [rank]));
  }

  /** The one way to a bad end: abort to every survivor, SIGKILL to who is left after the grace period. */
  #fail(cause: LongscanError): void {
    if (this.#failed) return;
    this.#failed = true;
    void this.#abort(cause);
  }

  async #abort(cause: LongscanError): Promise<void> {
    const reason = cause.message.slice(0, 8000);
    for (const rank of this.#running()) this.#server!.command(rank, { type: 'abort', reason });
    // A rank that was never heard of cannot obey and gets no grace.
    const heard = this.#ranks.filter(({ host }) => host !== null);
    await Promise.race([
      Promise.all(heard.map(({ gone }) => gone)),
      delay(abortGraceMs, null, { ref: false }),
    ]);
    const submission = await this.#submission?.catch(() => null);
    await submission?.cancel();
    const logTail = cause instanceof RankError ? await submission?.logs(cause.rank!, numLogLines) : undefined;
    await this.#end({ ok: false, error: cause instanceof RankError ? cause.withLog(logTail ?? []) : cause });
  }

  async #end(outcome: SessionOutcome): Promise<void> {
    await this.#close();
    this.#resolveEnded(outcome);
  }

  async #close(): Promise<void> {
    this.#judge.close();
    if (this.#watch !== null) clearInterval(this.#watch);
    for (const timer of [this.#rendezvousTimer, this.#stopTimer]) {
      if (timer !== null) clearTimeout(timer);
    }
    await this.#server?.close();
    this.#keys.removeAll();
  }
}
