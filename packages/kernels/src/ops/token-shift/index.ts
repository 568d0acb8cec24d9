import { defineOp } from '../../autograd/define-op.js';
import { expectShape, type Tensor } from '../../tensor.js';
import './native.js';

export type TokenShiftInputs = {
  /** [B, T, D] */
  readonly x: Tensor;
  /** [B, 1, D]: the token before x; null: zeros. */
  readonly halo: Tensor | null;
};

/**
 * The token before each: `y[t] = x[t - 1]`, zeros at the start of a document. Shape of x. `resets`: i32 [B, T], 1 where a
 * document starts; null: one document.
 */
export function tokenShift(inputs: TokenShiftInputs, resets: Tensor | null): Tensor {
  return tokenShiftOp(inputs, { resets });
}

const tokenShiftOp = defineOp<TokenShiftInputs, { resets: Tensor | null }>({
  name: 'token-shift',
  forward(call, { x, halo }, { resets }) {
    expectShape('token-shift', 'x', x, [-1, -1, -1]);
    const [B, T, D] = x.shape as [number, number, number];
    if (halo !== null) expectShape('token-shift', 'halo', halo, [B, 1, D]);
    if (resets !== null) expectShape('token-shift', 'resets', resets, [B, T]);
    const output = call.empty(x.shape, x.dtype);
    call.native.tokenShiftForward(call.stream, x.id, halo?.id ?? null, resets?.id ?? null, output.id);
    return { output, save: { halo, resets } };
  },
  backward(call, { halo, resets }, dy) {
    const dx = call.empty(dy.shape, dy.dtype);
    const dHalo = halo ? call.empty(halo.shape, dy.dtype) : null;
    call.native.tokenShiftBackward(call.stream, dx.id, dHalo?.id ?? null, resets?.id ?? null, dy.id);
    return { x: dx, halo: dHalo };
  },
});
