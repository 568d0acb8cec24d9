import type { ForwardCall } from '../../autograd/define-op.js';
import { expectShape, type Tensor } from '../../tensor.js';
import './native.js';

/** Tokens of a sequence, and those before them. */
export interface Sequence {
  /** [B, T, D] */
  readonly x: Tensor;
  /** [B, R, D]: the R tokens before x; null: zeros. */
  readonly halo: Tensor | null;
  /** i32 [B, T], 1 where a document starts; null: one document. */
  readonly resets: Tensor | null;
}

/**
 * [B, R, D]: the last R tokens of (halo, x), what a convolution over the tokens after x needs of them. Tokens before the
 * start of the last token's document become zeros, whatever they hold. Outside of autograd.
 */
export function sequenceTail(call: ForwardCall, { x, halo, resets }: Sequence, numRows: number): Tensor {
  const [B, , D] = x.shape as [number, number, number];
  if (halo !== null) expectShape('sequence-tail', 'halo', halo, [B, numRows, D]);
  const tail = call.empty([B, numRows, D], x.dtype);
  call.native.sequenceTailForward(call.stream, x.id, halo?.id ?? null, resets?.id ?? null, tail.id);
  return tail;
}

/** Its transpose, in place: adds the rows of `tailGradient` [B, R, D] to those of x and halo that they came from. */
export function addTailGradient(
  call: ForwardCall,
  { x, halo, resets }: Sequence,
  tailGradient: Tensor,
): void {
  call.native.sequenceTailBackward(call.stream, x.id, halo?.id ?? null, resets?.id ?? null, tailGradient.id);
}
