import { setImmediate } from 'node:timers/promises';
import { LongscanError } from '@longscan/worker/protocol';
import { type ArgsOf, type ComputationName, call, type ResultOf } from './computations.js';

/** Computes with the code of a job's layers. */
export interface LayerCode {
  /**
   * @throws LongscanError what the computation throws, E-RUN-KILLED when the signal has ended it; where files of the user's take part
   * also E-ENDED when they end what computes with them or use up its memory, E-PLUGIN for what they throw beside it
   */
  compute<N extends ComputationName>(name: N, ...args: ArgsOf<N>): Promise<ResultOf<N>>;
}

export interface LayerCodeOptions {
  /** Of the job, for errors. */
  readonly name: string;
  /** Ends what is computed, whatever a layer file of the user's does; layers of the packages are heard out. */
  readonly signal?: AbortSignal | undefined;
}

/** In this thread: signals are heard between computations. */
export function codeOfPackages({ name, signal }: LayerCodeOptions): LayerCode {
  return {
    async compute<N extends ComputationName>(computation: N, ...args: ArgsOf<N>): Promise<ResultOf<N>> {
      if (signal !== undefined) await setImmediate();
      if (signal?.aborted) throw planningStopped(name);
      return call({}, computation, args);
    },
  };
}

export function planningStopped(name: string): LongscanError {
  return new LongscanError({
    code: 'E-RUN-KILLED',
    where: name,
    found: 'the planning was stopped, as asked',
    exitCode: 130,
  });
}
