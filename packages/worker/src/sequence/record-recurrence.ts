import type { Tensor } from '@longscan/kernels';

/** A recurrence whose state comes from other ranks or units. */
export interface RecordedRecurrence {
  readonly name: string;
  /** Those that are there. */
  readonly inputs: readonly Tensor[];
  readonly output: Tensor;
  /** What `backward` reads; null for what is not there. */
  readonly saved: readonly (Tensor | null)[];
  /** Gradients of the inputs, in their order. Calls `flush` while states are under way. */
  backward(dO: Tensor, flush: () => void): readonly (Tensor | null)[];
}

/** Puts it on the tape, if there is one and a gradient can reach an input. */
export function recordRecurrence({ name, inputs, output, saved, backward }: RecordedRecurrence): void {
  const { tape } = output.device;
  if (tape === null || !inputs.some((tensor) => tensor.requiresGrad)) return;
  tape.record({
    ...{ name, flushes: true, inputs, outputs: [output] },
    saved: saved.filter((tensor) => tensor !== null),
    backward: ([gradient]) => backward(gradient!, () => tape.flushDeferred()),
  });
}
