import { type BackwardCall, defineOp, forwardCall } from '../../autograd/define-op.js';
import { LongscanError } from '../../errors.js';
import type { Tensor } from '../../tensor.js';
import './native.js';

/** `exp(x) / Σ exp(x)` over the last dim; same shape as x. */
export const softmax: (x: Tensor) => Tensor = (x) => softmaxOp({ x }, {});

const softmaxOp = defineOp<{ x: Tensor }, Record<never, never>, { y: Tensor }>({
  name: 'softmax',
  forward(call, { x }) {
    const output = call.empty(x.shape, x.dtype);
    call.native.softmaxForward(call.stream, x.id, output.id);
    call.device.flops += 4 * x.size;
    return { output, save: { y: output } };
  },
  backward,
});

/**
 * Sends each row of x [.., N] to the `count` largest of its N destinations: `weights` [.., N + always] is the softmax over
 * those, 0 for the others, and `selected` i32 of the same shape is 1 for them. The last `always` destinations get every
 * row, with weight 1. Of equal elements the first is taken.
 * @throws LongscanError E-ARGUMENT unless 1 <= count <= N
 */
export function route(x: Tensor, count: number, always = 0): { weights: Tensor; selected: Tensor } {
  const N = x.dim(-1);
  if (!Number.isInteger(count) || count < 1 || count > N) {
    throw new LongscanError({
      code: 'E-ARGUMENT',
      where: 'route',
      found: `count ${count}`,
      expected: `a whole number between 1 and ${N}, the last dim of x`,
      fix: 'choose such a count',
    });
  }
  const selected = forwardCall(x.device).empty([...x.shape.slice(0, -1), N + always], 'i32');
  x.device.units?.markLike(x, selected);
  return { weights: routeOp({ x }, { count, always, selected }), selected };
}

const routeOp = defineOp<{ x: Tensor }, { count: number; always: number; selected: Tensor }, { y: Tensor }>({
  name: 'route',
  forward(call, { x }, { count, selected }) {
    const output = call.empty(selected.shape, x.dtype);
    call.native.softmaxOfLargest(call.stream, x.id, count, output.id, selected.id);
    call.device.flops += (count + 4) * x.size;
    return { output, save: { y: output } };
  },
  backward,
});

/** Where y is 0 for being left out, so is the gradient: one rule for both. */
function backward(
  call: BackwardCall<{ x: Tensor }>,
  { y }: { y: Tensor },
  dy: Tensor,
  { always = 0 }: { always?: number },
): { x: Tensor } {
  const dx = call.empty([...dy.shape.slice(0, -1), dy.dim(-1) - always], dy.dtype);
  call.native.softmaxBackward(call.stream, dy.id, y.id, dx.id);
  call.device.flops += 4 * dx.size;
  return { x: dx };
}
