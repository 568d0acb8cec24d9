import { defineOp } from '../../autograd/define-op.js';
import { LongscanError } from '../../errors.js';
import { expectShape, type Tensor } from '../../tensor.js';
import './native.js';

export interface RotaryOptions {
  /** Base of the frequencies theta^(-2i/K). Default 10000. */
  readonly theta?: number;
  /** Positions count in steps of so many tokens, rounded down: one angle for a chunk. Default 1. */
  readonly step?: number;
}

interface Attributes extends Required<RotaryOptions> {
  readonly positions: Tensor;
}

/**
 * Rotary embedding (https://arxiv.org/abs/2104.09864, equation 34) of x [B, T, H, K], K even, at `positions` i32 [B, T];
 * element i is paired with i + K/2. Angles are exact to f64 at any position.
 */
export function rotary(
  x: Tensor,
  positions: Tensor,
  { theta = 10000, step = 1 }: RotaryOptions = {},
): Tensor {
  return rotaryOp({ x }, { positions, theta, step });
}

const rotaryOp = defineOp<{ x: Tensor }, Attributes>({
  name: 'rotary',
  forward(call, { x }, { positions, theta, step }) {
    expectShape('rotary', 'x', x, [-1, -1, -1, -1]);
    if (x.dim(-1) % 2 !== 0) throw oddHeadSize(x);
    expectShape('rotary', 'positions', positions, x.shape.slice(0, 2));
    const output = call.empty(x.shape, x.dtype);
    call.native.rotary(call.stream, theta, step, false, positions.id, x.id, output.id);
    call.device.flops += 3 * x.size;
    return { output, save: { positions } };
  },
  backward(call, { positions }, dy, { theta, step }) {
    const dx = call.empty(dy.shape, dy.dtype);
    call.native.rotary(call.stream, theta, step, true, positions!.id, dy.id, dx.id);
    call.device.flops += 3 * dy.size;
    return { x: dx };
  },
});

function oddHeadSize({ shape }: Tensor): LongscanError {
  const found = `x has shape [${shape.join(', ')}]`;
  return new LongscanError({
    code: 'E-SHAPE',
    where: 'rotary',
    found,
    expected: 'an even last dim',
    fix: 'give heads of an even size',
  });
}
