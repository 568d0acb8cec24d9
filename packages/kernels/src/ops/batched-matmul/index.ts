import { defineOp, type ForwardCall } from '../../autograd/define-op.js';
import { expectShape, type Tensor } from '../../tensor.js';
import './native.js';

/** Which operands are read as their transpose. */
export interface MatmulOptions {
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
}

interface Flags {
  readonly transA: boolean;
  readonly transB: boolean;
}

/**
 * Matrix products over equal leading dims: [.., M, K] times [.., K, N] to [.., M, N]. With `transposeA`, a is [.., K, M];
 * with `transposeB`, b is [.., N, K]. An outer product has K = 1, a matrix times a vector N = 1. @throws LongscanError E-SHAPE
 */
export function batchedMatmul(inputs: { a: Tensor; b: Tensor }, options: MatmulOptions = {}): Tensor {
  return batchedMatmulOp(inputs, {
    transA: options.transposeA ?? false,
    transB: options.transposeB ?? false,
  });
}

const batchedMatmulOp = defineOp<{ a: Tensor; b: Tensor }, Flags>({
  name: 'batched-matmul',
  forward(call, { a, b }, flags) {
    const K = a.dim(flags.transA ? -2 : -1);
    const N = b.dim(flags.transB ? -2 : -1);
    expectShape('batched-matmul', 'b', b, [...a.shape.slice(0, -2), ...(flags.transB ? [N, K] : [K, N])]);
    const output = multiply(call, a, b, flags);
    return { output, save: { a: b.requiresGrad ? a : null, b: a.requiresGrad ? b : null } };
  },
  // dA = dC op(B)ᵀ and dB = op(A)ᵀ dC, each transposed as its operand is stored.
  backward(call, { a, b }, dc, { transA, transB }) {
    const da = (): Tensor =>
      transA
        ? multiply(call, b!, dc, { transA: transB, transB: true })
        : multiply(call, dc, b!, { transA: false, transB: !transB });
    const db = (): Tensor =>
      transB
        ? multiply(call, dc, a!, { transA: true, transB: transA })
        : multiply(call, a!, dc, { transA: !transA, transB: false });
    return { a: call.needs.a ? da() : null, b: call.needs.b ? db() : null };
  },
});

function multiply(call: ForwardCall, a: Tensor, b: Tensor, { transA, transB }: Flags): Tensor {
  const N = b.dim(transB ? -2 : -1);
  const output = call.empty([...a.shape.slice(0, -2), a.dim(transA ? -1 : -2), N], a.dtype);
  call.native.batchedMatmul(call.stream, transA, transB, a.id, b.id, output.id);
  call.device.flops += 2 * a.size * N;
  return output;
}
