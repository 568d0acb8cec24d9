import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { type ErrorParts, LongscanError } from '@longscan/worker/protocol';
import type { ArgsOf, ComputationName, LayerModules, ResultOf } from './computations.js';
import { type LayerCode, type LayerCodeOptions, planningStopped } from './layer-code.js';

/** What the thread is asked. It answers once, through the port. */
export interface Question {
  readonly name: ComputationName;
  readonly args: readonly unknown[];
  readonly port: MessagePort;
}

/** `bug`: it failed by what is no LongscanError, which is not the user's doing. */
export type Answer = { readonly value: unknown } | { readonly refused: ErrorParts } | { readonly bug: Error };

/** How it ended without an answer: what the user's code threw beside a computation, or its exit code. */
type ThreadEnd = { readonly thrown: unknown } | { readonly exitCode: number };

/** A thread that computes with layer files of the user's. */
export class LayerThread implements LayerCode {
  readonly #modules: LayerModules;
  readonly #options: LayerCodeOptions;
  readonly #thread: Worker;
  readonly #ended: Promise<ThreadEnd>;
  readonly #stop = () => void this.#thread.terminate();

  /** `temporary`: folder for temporary files of the thread's. */
  constructor(modules: LayerModules, temporary: string, options: LayerCodeOptions) {
    this.#modules = modules;
    this.#options = options;
    const thread = new Worker(new URL('./thread-main.js', import.meta.url), {
      workerData: modules,
      execArgv: [],
      env: { ...process.env, TMPDIR: temporary },
    });
    this.#thread = thread;
    // What comes first. What the user's code throws after that is nobody's.
    this.#ended = new Promise((resolve) => {
      thread.on('exit', (exitCode) => resolve({ exitCode }));
      thread.on('error', (thrown) => resolve({ thrown }));
    });
    options.signal?.addEventListener('abort', this.#stop);
  }

  async compute<N extends ComputationName>(name: N, ...args: ArgsOf<N>): Promise<ResultOf<N>> {
    const { signal } = this.#options;
    if (signal?.aborted) throw planningStopped(this.#options.name);
    const { port1, port2 } = new MessageChannel();
    try {
      this.#thread.postMessage({ name, args, port: port2 } satisfies Question, [port2]);
      const answered = new Promise<Answer>((resolve) => port1.once('message', resolve));
      const answer = await Promise.race([answered, this.#ended]);
      if (signal?.aborted) throw planningStopped(this.#options.name);
      if ('thrown' in answer) throw this.#thrownError(answer.thrown);
      if ('exitCode' in answer) throw this.#endedError(`exit code ${answer.exitCode}`, endsItself);
      if ('refused' in answer) throw new LongscanError(answer.refused);
      if ('bug' in answer) throw answer.bug;
      return answer.value as ResultOf<N>;
    } finally {
      port1.close();
      port2.close();
    }
  }

  /** Also timers of the user's, which may keep it. */
  async end(): Promise<void> {
    this.#options.signal?.removeEventListener('abort', this.#stop);
    await this.#thread.terminate();
  }

  #thrownError(thrown: unknown): LongscanError {
    const isError = thrown instanceof Error;
    if (isError && 'code' in thrown && thrown.code === 'ERR_WORKER_OUT_OF_MEMORY') {
      return this.#endedError('its memory used up', holdsTooMuch);
    }
    return new LongscanError({
      code: 'E-PLUGIN',
      where: this.#files(),
      found: `thrown beside the planning: ${isError ? (thrown.stack ?? thrown.message) : String(thrown)}`,
      fix: 'catch that in these files, also in callbacks and promises that nothing waits for',
      exitCode: 2,
      cause: thrown,
    });
  }

  #endedError(by: string, fix: string): LongscanError {
    return new LongscanError({
      code: 'E-ENDED',
      where: this.#files(),
      found: `the planning ended before it was done, with ${by}`,
      expected: 'that nothing ends it',
      fix,
      exitCode: 1,
    });
  }

  #files(): string {
    return Object.keys(this.#modules).join(', ');
  }
}

const endsItself = 'take process.exit, and promises that never settle, out of these files';
const holdsTooMuch =
  'make these files hold less at once, or give Node.js more (NODE_OPTIONS=--max-old-space-size=MIB)';
