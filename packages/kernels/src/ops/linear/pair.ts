import { defineOp } from '../../autograd/define-op.js';
import { takeStale } from '../../autograd/tape.js';
import { expectShape, type Tensor } from '../../tensor.js';
import './native.js';

interface LinearPairInputs extends Record<string, Tensor> {
  /** [..., numIn] */
  readonly x: Tensor;
  /** [numOut, numIn] both; both parameters, or neither of them */
  readonly first: Tensor;
  readonly second: Tensor;
}

/**
 * `x firstᵀ` and `x secondᵀ` side by side in rows: [..., numIn] to [..., 2 numOut]. On a GPU only, without units. Weights that
 * follow each other in memory, as parameters declared one after the other do, are multiplied as one matrix, and so are the
 * gradients: there are fewer launches, and the gradient of x is one sum instead of two of which the second is added.
 */
export const linearPair: (inputs: LinearPairInputs) => Tensor = (inputs) => linearPairOp(inputs, {});

const linearPairOp = defineOp<LinearPairInputs>({
  name: 'linear-pair',
  late: ['x'],
  forward(call, { x, first, second }) {
    expectShape('linear-pair', 'first', first, [-1, x.dim(-1)]);
    expectShape('linear-pair', 'second', second, first.shape);
    const output = call.empty([...x.shape.slice(0, -1), 2 * first.dim(0)], x.dtype);
    call.native.linearPairForward(call.stream, x.id, first.id, second.id, output.id);
    call.device.flops += 4 * x.size * first.dim(0);
    return { output, save: { x, first, second } };
  },
  backward(call, saved, dy) {
    const [x, first, second] = [saved.x!, saved.first!, saved.second!];
    const { needs, native, stream } = call;
    const numIn = first.dim(1);
    let dx: Tensor | null = null;
    if (needs.x) {
      dx = call.inputGradient('x', [...dy.shape.slice(0, -1), numIn], (target, accumulate) => {
        native.linearPairInputGradient(stream, dy.id, first.id, second.id, target.id, accumulate);
      });
      call.device.flops += 2 * dy.size * numIn;
    }
    if (!needs.first && !needs.second) return { x: dx };
    call.device.flops += 2 * dy.size * numIn;
    const fresh = second.gradient === null ? call.empty(second.shape, second.dtype) : null;
    const dFirst = call.weightGradient(first, [dy, x], (target, accumulate) => {
      const toSecond = fresh ?? second.gradient!;
      const accumulateSecond = fresh === null && !takeStale(second);
      native.linearPairWeightGradient(
        ...([stream, dy.id, x.id, target.id, toSecond.id, accumulate, accumulateSecond] as const),
      );
    });
    return { x: dx, first: dFirst, second: fresh };
  },
});
