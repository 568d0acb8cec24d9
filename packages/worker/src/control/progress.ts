import { type Phase, phases } from '../protocol/phases.js';

/**
 * Where a rank is, in shared memory: the main thread and native code write, the control thread reads. Int32 words.
 * `collective` wraps around at 2^31 - 1.
 */
export const progressWord = { step: 0, phase: 1, collective: 2 } as const;

export const numProgressWords = 3;

/** Notes the phase that begins now. */
export function enterPhase(progress: Int32Array, phase: Phase): void {
  Atomics.store(progress, progressWord.phase, phases.indexOf(phase));
}

/** Notes the step under way. */
export function enterStep(progress: Int32Array, step: number): void {
  Atomics.store(progress, progressWord.step, step);
}

export interface Progress {
  readonly step: number;
  readonly phase: Phase;
  readonly collective: number;
}

export function readProgress(progress: Int32Array): Progress {
  return {
    step: Math.max(0, Atomics.load(progress, progressWord.step)),
    phase: phases[Atomics.load(progress, progressWord.phase)] ?? 'starting',
    collective: Math.max(0, Atomics.load(progress, progressWord.collective)),
  };
}
