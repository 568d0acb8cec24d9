import { defineOp, type ForwardCall } from '../../autograd/define-op.js';
import { LongscanError } from '../../errors.js';
import { expectShape, type Tensor } from '../../tensor.js';
import './native.js';

interface WhereInputs extends Record<string, Tensor | null> {
  /** i32, as many rows as the leading dims of a and b have. */
  readonly condition: Tensor;
  readonly a: Tensor | null;
  readonly b: Tensor | null;
}

/**
 * Selects rows: a's where the condition is not 0, else b's; null: zeros. What is not selected has no influence, NaN
 * included, on the output or on a gradient. a and b [rows.., ..], condition [rows..]. @throws LongscanError E-SHAPE
 */
export const where: (inputs: WhereInputs) => Tensor = (inputs) => whereOp(inputs, {});

const whereOp = defineOp<WhereInputs>({
  name: 'where',
  forward(call, { condition, a, b }) {
    const like = a ?? b;
    if (like === null) {
      throw new LongscanError({
        code: 'E-SHAPE',
        where: 'where',
        found: 'neither a nor b',
        expected: 'one of them',
        fix: 'pass a, b or both',
      });
    }
    if (a !== null && b !== null) expectShape('where', 'b', b, a.shape);
    expectShape('where', 'condition', condition, like.shape.slice(0, condition.shape.length));
    return { output: select(call, condition, a, b, like), save: { condition } };
  },
  backward(call, { condition }, dy) {
    const { needs } = call;
    return {
      a: needs.a ? select(call, condition!, dy, null, dy) : null,
      b: needs.b ? select(call, condition!, null, dy, dy) : null,
    };
  },
});

function select(
  call: ForwardCall,
  condition: Tensor,
  a: Tensor | null,
  b: Tensor | null,
  like: Tensor,
): Tensor {
  const y = call.empty(like.shape, like.dtype);
  call.native.where(call.stream, condition.id, a?.id ?? null, b?.id ?? null, y.id);
  return y;
}
