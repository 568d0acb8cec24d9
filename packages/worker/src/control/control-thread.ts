/// <reference lib="es2024.sharedmemory" />
import { readFileSync, writeSync } from 'node:fs';
import { hostname } from 'node:os';
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { LongscanError, reportBug } from '@longscan/kernels/errors';
import { keyFileSchema } from '../protocol/key-file.js';
import { type CoordinatorBody, type RankBody, rankBodySchema } from '../protocol/messages.js';
import { CoordinatorLink } from './coordinator-link.js';
import { Deferred } from './deferred.js';
import { describeFailure } from './describe-failure.js';
import { watchLifeline } from './lifeline.js';
import { readProgress } from './progress.js';
import {
  type ControlThreadData,
  exitRequest,
  exitWord,
  type FromControlThread,
  type ToControlThread,
} from './thread-messages.js';

/**
 * The thread that speaks for a rank, so that a main thread deep in work still has a heartbeat and still obeys.
 * It never loads the addon. Entry of a worker thread: importing it anywhere else is a mistake.
 */

const stderrFd = 2;

/** Before Welcome has told the job's own values. */
const defaultTimeouts = { heartbeatIntervalMs: 1000, abortGraceMs: 2000, coordinatorLostMs: 10_000 };

/** How long the last reports may wait for room in the send queue of a rank that does not wait for its coordinator. */
const closeMs = 500;

class ControlThread {
  readonly #data: ControlThreadData;
  readonly #link: CoordinatorLink;
  readonly #secret: string;
  readonly #unwatch: () => void;
  #timeouts = defaultTimeouts;
  #reading: Promise<void> = Promise.resolve();
  #heartbeat: NodeJS.Timeout | null = null;
  #lastHeardMs = performance.now();
  readonly #aborted = new Deferred<void>();
  #ending = false;

  constructor(data: ControlThreadData) {
    this.#data = data;
    const keys = keyFileSchema.parse(JSON.parse(readFileSync(data.env.keyFile, 'utf8')));
    this.#secret = keys.secret;
    this.#link = new CoordinatorLink(data.env, keys);
    const fd = data.env.lifelineFd;
    this.#unwatch = fd === null ? () => {} : watchLifeline(fd, () => this.#abort('the coordinator is gone'));
  }

  async run(): Promise<void> {
    parentPort!.on('message', (message: ToControlThread) => this.#send(message.body));
    this.#reading = this.#read();
    void this.#closeWhenAsked();
    this.#link.send({
      type: 'hello',
      secret: this.#secret,
      pid: process.pid,
      host: hostname(),
      nodeVersion: process.version,
    });
    this.#restartHeartbeat();
    try {
      await this.#reading;
    } catch (error) {
      clearInterval(this.#heartbeat!);
      await this.#link.close(0);
      throw error;
    }
  }

  async #read(): Promise<void> {
    for await (const body of this.#link.bodies()) {
      this.#lastHeardMs = performance.now();
      this.#fromCoordinator(body);
    }
  }

  /** A body that is not as it should be ends the job as its task's own error would. The schemas are this thread's alone to load. */
  #send(body: ToControlThread['body']): void {
    try {
      requireWellFormed(body);
      this.#link.send(body);
    } catch (error) {
      this.#link.send(describeFailure(error));
    }
  }

  #toMain(message: FromControlThread): void {
    parentPort!.postMessage(message);
  }

  #fromCoordinator(body: CoordinatorBody): void {
    switch (body.type) {
      case 'welcome':
        this.#timeouts = body.assignment.timeouts;
        this.#restartHeartbeat();
        this.#toMain({ kind: 'welcome', assignment: body.assignment });
        break;
      case 'refused':
        this.#toMain({ kind: 'refused', code: body.code, reason: body.reason });
        break;
      case 'rank-table':
        this.#toMain({ kind: 'rank-table', table: body });
        break;
      case 'stop':
        this.#toMain({ kind: 'stop', save: body.save });
        break;
      case 'saved':
        this.#toMain({ kind: 'saved' });
        break;
      case 'abort':
        this.#abort(body.reason);
        break;
      case 'beat':
        break;
    }
  }

  #restartHeartbeat(): void {
    if (this.#heartbeat !== null) clearInterval(this.#heartbeat);
    this.#heartbeat = setInterval(() => this.#beat(), this.#timeouts.heartbeatIntervalMs);
  }

  #beat(): void {
    const progress = readProgress(this.#data.progress);
    this.#link.send({
      type: 'heartbeat',
      ...progress,
      ack: this.#link.lastCommand,
      numDropped: this.#link.numDropped,
    });
    // With a lifeline a silent coordinator is a stopped one; without it, nothing else tells that it is gone.
    const silentMs = performance.now() - this.#lastHeardMs;
    if (this.#data.env.lifelineFd === null && silentMs > this.#timeouts.coordinatorLostMs) {
      this.#abort(`the coordinator was silent for ${Math.round(silentMs)} ms`);
    }
  }

  /** Lets the main thread end by itself; kills the process when it has not after the grace period. */
  #abort(reason: string): void {
    if (this.#ending) return;
    this.#ending = true;
    this.#aborted.resolve();
    this.#toMain({ kind: 'abort', reason });
    const timer = setTimeout(() => {
      writeSync(stderrFd, `killed: ${reason}, and the main thread did not end within the grace period\n`);
      process.kill(process.pid, 'SIGKILL');
    }, this.#timeouts.abortGraceMs);
    // The open socket keeps this thread alive for it; a thread that has closed must not wait for it.
    timer.unref();
  }

  /**
   * Without a limit of its own: a coordinator that is gone shows in the lifeline or its silence, which abort. A process
   * that is on its way out all the same asks again, and is not held up.
   */
  async #delivered(): Promise<void> {
    this.#beat();
    const askedAgain = requestAfter(this.#data.exit, exitRequest.orderly);
    await Promise.race([this.#link.delivered(), this.#aborted.promise, askedAgain]);
  }

  /**
   * A thread that is terminated while it has an open ZeroMQ socket, or is in any call of ZeroMQ's, takes the process
   * down (exit code 134). So the main thread asks for the end through shared memory and waits for `closed`, after
   * which this thread makes no such call.
   */
  async #closeWhenAsked(): Promise<void> {
    const { exit } = this.#data;
    const request = await requestAfter(exit, exitRequest.none);
    // What main posted last (Done, Failed) may still be in the port: nothing orders it before the request to close.
    for (
      let rest = receiveMessageOnPort(parentPort!);
      rest !== undefined;
      rest = receiveMessageOnPort(parentPort!)
    ) {
      this.#send((rest.message as ToControlThread).body);
    }
    if (request === exitRequest.orderly) await this.#delivered();
    if (this.#heartbeat !== null) clearInterval(this.#heartbeat);
    this.#unwatch();
    await this.#link.close(closeMs);
    await this.#reading;
    parentPort!.close();
    tellClosed(exit);
  }
}

/** @throws LongscanError E-WIRE-ENCODE */
function requireWellFormed(body: RankBody): void {
  const parsed = rankBodySchema.safeParse(body);
  if (parsed.success) return;
  const issue = parsed.error.issues[0]!;
  throw new LongscanError({
    code: 'E-WIRE-ENCODE',
    where: `report '${body.type}'`,
    found: `${issue.path.join('.')}: ${issue.message}`,
    fix: reportBug(),
  });
}

/** What the main thread asks for once that is no longer `prev`. */
async function requestAfter(exit: Int32Array, prev: number): Promise<number> {
  const change = Atomics.waitAsync(exit, exitWord.requested, prev);
  if (change.async) await change.value;
  return Atomics.load(exit, exitWord.requested);
}

function tellClosed(exit: Int32Array): void {
  Atomics.store(exit, exitWord.closed, 1);
  Atomics.notify(exit, exitWord.closed);
}

try {
  await new ControlThread(workerData as ControlThreadData).run();
} catch (error) {
  const reason = error instanceof Error ? error.message : String(error);
  parentPort!.postMessage({ kind: 'refused', code: 'E-RANK-CONTROL', reason } satisfies FromControlThread);
  tellClosed((workerData as ControlThreadData).exit);
}
