import type { Device, Tensor } from '@longscan/kernels';
import type { RecurrenceCase } from './recurrence-cases.js';

/** What a case holds. */
type Problem = Omit<RecurrenceCase, 'op'>;

/** What is timed: the forward pass alone, or both. */
export const passes = ['forward', 'both'] as const;

export type Pass = (typeof passes)[number];

/** A tensor of the output's shape and type. */
export function likeOutput({ inputs, outputGradient }: Problem): Tensor {
  return (outputGradient ?? inputs.v ?? inputs.x)!;
}

/** All that a case holds, each once. */
export function tensorsOf({ inputs, outputGradient }: Problem): Tensor[] {
  const all = [...Object.values(inputs), outputGradient ?? null];
  return [...new Set(all.filter((tensor) => tensor !== null))];
}

/** Enqueues a pass over what `output` makes of the case's inputs. */
export function runPass(device: Device, pass: Pass, problem: Problem, output: () => Tensor): void {
  device.scope(() => {
    if (pass === 'forward') {
      device.withoutTape(output);
      return;
    }
    const { result, tape } = device.record(output);
    // Any numbers of the output's shape do for its gradient.
    tape.backward([result], [likeOutput(problem)]);
  });
}
