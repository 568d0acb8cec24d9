import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { LongscanError } from '@longscan/kernels/errors';
import type { Assignment } from '../protocol/assignment.js';
import type { Addresses, Done, Failed, RankTable, Ready, Report } from '../protocol/messages.js';
import type { RankControl } from '../rank-context.js';
import { Deferred } from './deferred.js';
import { numProgressWords } from './progress.js';
import type { RankEnv } from './rank-env.js';
import {
  type ControlThreadData,
  exitRequest,
  exitWord,
  type FromControlThread,
  numExitWords,
  type ToControlThread,
} from './thread-messages.js';

/**
 * From the request to close until the exit handler stops waiting for the control thread, which needs half a second where
 * a coordinator is behind, and longer on a machine that is busy.
 */
const closeTimeoutMs = 10_000;

/**
 * The main thread's end of the control plane. All talking is done by a thread of its own (`control-thread.ts`); this
 * class hands messages over and calls back.
 */
export class ControlClient implements RankControl {
  /** Shared with the control thread and with native code; words of `progress.ts`. */
  readonly progress: Int32Array = sharedWords(numProgressWords);
  readonly #exit: Int32Array = sharedWords(numExitWords);
  readonly #thread: Worker;
  readonly #welcome = new Deferred<Assignment>();
  readonly #rankTable = new Deferred<RankTable>();
  readonly #stopCallbacks: ((stop: { readonly save: boolean }) => void)[] = [];
  readonly #abortCallbacks: ((reason: string) => void)[] = [];
  /** Of the next checkpoint: no rank begins another before all have gone on from it. */
  #saved = new Deferred<void>();
  #stop: { readonly save: boolean } | null = null;
  #abortReason: string | null = null;

  private constructor(env: RankEnv) {
    const data: ControlThreadData = { env, progress: this.progress, exit: this.#exit };
    this.#thread = new Worker(new URL('./control-thread.js', import.meta.url), {
      workerData: data,
      execArgv: [],
    });
    this.#thread.on('message', (message: FromControlThread) => this.#receive(message));
    this.#thread.on('error', (error) => {
      // Nobody is left to wait for.
      Atomics.store(this.#exit, exitWord.closed, 1);
      this.#abort(`the control thread failed: ${error.message}`);
    });
    process.once('exit', this.#closeNow);
  }

  /**
   * Starts the control thread, says hello and waits for the assignment.
   *
   * @throws LongscanError with the coordinator's code (E-AUTH, E-RANK-DUP, …) when it refuses this rank,
   * E-RANK-ABORT when it is gone.
   */
  static async connect(env: RankEnv): Promise<{ control: ControlClient; assignment: Assignment }> {
    const control = new ControlClient(env);
    const assignment = await control.#welcome.promise;
    // From here on the task keeps the process alive, not the thread.
    control.#thread.unref();
    return { control, assignment };
  }

  exchangeAddresses(addresses: Addresses): Promise<RankTable> {
    this.#send({ type: 'ready', addresses });
    return this.#awake(this.#rankTable.promise);
  }

  async checkpointSaved(): Promise<void> {
    await this.#awake(this.#saved.promise);
    this.#saved = new Deferred();
  }

  report(message: Report | Done | Failed): void {
    this.#send(message);
  }

  onStop(callback: (stop: { readonly save: boolean }) => void): void {
    this.#stopCallbacks.push(callback);
    if (this.#stop !== null) callback(this.#stop);
  }

  onAbort(callback: (reason: string) => void): void {
    this.#abortCallbacks.push(callback);
    if (this.#abortReason !== null) callback(this.#abortReason);
  }

  /** Sends what there is to send and ends the control thread. To be awaited before a process ends by itself. */
  async close(): Promise<void> {
    this.#thread.ref();
    const ended = once(this.#thread, 'exit');
    this.#requestExit(exitRequest.orderly);
    await ended;
    process.off('exit', this.#closeNow);
  }

  #send(body: Report | Ready | Done | Failed): void {
    this.#thread.postMessage({ body } satisfies ToControlThread);
  }

  #receive(message: FromControlThread): void {
    switch (message.kind) {
      case 'welcome':
        this.#welcome.resolve(message.assignment);
        break;
      case 'refused':
        this.#welcome.reject(refusal(message.code, message.reason));
        break;
      case 'rank-table':
        this.#rankTable.resolve(message.table);
        break;
      case 'stop':
        this.#stop = { save: message.save };
        for (const callback of this.#stopCallbacks) callback(this.#stop);
        break;
      case 'saved':
        this.#saved.resolve();
        break;
      case 'abort':
        this.#abort(message.reason);
        break;
    }
  }

  /** The process lives on for what is waited for, though nothing else may be left that keeps it. */
  async #awake<T>(answer: Promise<T>): Promise<T> {
    this.#thread.ref();
    try {
      return await answer;
    } finally {
      this.#thread.unref();
    }
  }

  #abort(reason: string): void {
    if (this.#abortReason !== null) return;
    this.#abortReason = reason;
    const error = new LongscanError({ code: 'E-RANK-ABORT', where: 'control', found: reason, exitCode: 8 });
    for (const answer of [this.#welcome, this.#rankTable, this.#saved]) answer.reject(error);
    for (const callback of this.#abortCallbacks) callback(reason);
  }

  /** Runs in the exit handler, where nothing can be awaited: see `control-thread.ts`. */
  readonly #closeNow = (): void => {
    this.#requestExit(exitRequest.now);
    Atomics.wait(this.#exit, exitWord.closed, 0, closeTimeoutMs);
  };

  #requestExit(request: number): void {
    Atomics.store(this.#exit, exitWord.requested, request);
    Atomics.notify(this.#exit, exitWord.requested);
  }
}

function sharedWords(numWords: number): Int32Array {
  return new Int32Array(new SharedArrayBuffer(numWords * Int32Array.BYTES_PER_ELEMENT));
}

function refusal(code: string, reason: string): LongscanError {
  const exitCode = code === 'E-AUTH' ? 7 : 8;
  return new LongscanError({ code, where: 'coordinator', found: reason, exitCode });
}
