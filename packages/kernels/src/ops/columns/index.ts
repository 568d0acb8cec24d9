import { type ForwardCall, forwardCall } from '../../autograd/define-op.js';
import { LongscanError } from '../../errors.js';
import { expectShape, type Tensor } from '../../tensor.js';
import './native.js';

/**
 * x [.., Σ sizes] cut along its last dim into [.., sizes[i]]: the parts of a fused projection.
 * @throws LongscanError E-SHAPE if the sizes do not add up.
 */
export function splitLast(x: Tensor, sizes: readonly number[]): Tensor[] {
  const total = sizes.reduce((sum, size) => sum + size, 0);
  if (total !== x.dim(-1)) {
    throw new LongscanError({
      code: 'E-SHAPE',
      where: 'split-last',
      found: `sizes ${sizes.join(' + ')} = ${total}`,
      expected: `the last dim of [${x.shape.join(', ')}]`,
      fix: 'give sizes that add up to that dim',
    });
  }
  const call = forwardCall(x.device);
  const parts = cut(call, x, sizes);
  for (const part of parts) x.device.units?.markLike(x, part);
  if (x.device.tape !== null && x.requiresGrad) {
    x.device.tape.record({
      name: 'split-last',
      inputs: [x],
      outputs: parts,
      saved: [],
      backward: (gradients) => [join(call, gradients, sizes)],
    });
  }
  return parts;
}

/** Tensors that differ in their last dim only, side by side: [.., D1] and [.., D2] to [.., D1 + D2]. */
export function concatLast(parts: readonly Tensor[]): Tensor {
  const [first] = parts as readonly [Tensor];
  for (const part of parts) expectShape('concat-last', 'part', part, [...first.shape.slice(0, -1), -1]);
  const sizes = parts.map((part) => part.dim(-1));
  const call = forwardCall(first.device);
  const whole = join(call, parts, sizes);
  first.device.units?.markLike(first, whole);
  const { tape } = first.device;
  if (tape !== null && parts.some((part) => part.requiresGrad)) {
    tape.record({
      name: 'concat-last',
      inputs: parts,
      outputs: [whole],
      saved: [],
      backward: ([gradient]) => cut(call, gradient!, sizes),
    });
  }
  return whole;
}

/** `splitLast` without its gradient. */
export function cut(call: ForwardCall, x: Tensor, sizes: readonly number[]): Tensor[] {
  let from = 0;
  return sizes.map((size) => {
    const part = columns(call, x, from, size);
    from += size;
    return part;
  });
}

/** Columns [from, from + size) of x [.., D]: [.., size]. */
export function columns(call: ForwardCall, x: Tensor, from: number, size: number): Tensor {
  const part = call.empty([...x.shape.slice(0, -1), size], x.dtype);
  call.native.copyColumns(call.stream, x.id, from, part.id, 0, size);
  return part;
}

/** `concatLast` without its gradient; null: zeros. At least one part is there. */
export function join(call: ForwardCall, parts: readonly (Tensor | null)[], sizes: readonly number[]): Tensor {
  const present = parts.find((part) => part !== null)!;
  const width = sizes.reduce((sum, size) => sum + size, 0);
  const whole = call.empty([...present.shape.slice(0, -1), width], present.dtype);
  let from = 0;
  parts.forEach((part, i) => {
    const size = sizes[i]!;
    call.native.copyColumns(call.stream, part?.id ?? null, 0, whole.id, from, size);
    from += size;
  });
  return whole;
}
