import { type BackwardCall, defineOp, type ForwardCall } from '../../autograd/define-op.js';
import { LongscanError } from '../../errors.js';
import { type DType, expectShape, type Tensor } from '../../tensor.js';
import { promotedType, type TypesOf, typesOf, wideType } from '../../types-of.js';
import { castTo } from '../pointwise/cast.js';
import { sumRows } from '../sum-rows/index.js';
import './native.js';

/** `broadcastBlockRows` in broadcast.h. */
const blockRows = 64;

type Operands = { readonly a: Tensor; readonly b: Tensor };

/**
 * `a · b` where b's dims are some of a's, side by side, the first of them `axis` (negative: counted from the end):
 * a [B, T, H, K] with b [B, T, H] at axis 0, b [H] at axis 2, b [K] at axis -1. Shape of a, as `dtype`: left out, bf16 with
 * f32 gives f32.
 */
export function mulAlong(inputs: Operands, axis: number, dtype = promotedType(inputs)): Tensor {
  return mulAlongOp(inputs, { axis, types: { ...typesOf(inputs), y: dtype } });
}

/** `a + factor · b`, b placed as in `mulAlong`: a bias, say. Shape of a, `dtype` as there. */
export function addAlong(inputs: Operands, axis: number, factor = 1, dtype = promotedType(inputs)): Tensor {
  return addAlongOp(inputs, { axis, factor, types: { ...typesOf(inputs), y: dtype } });
}

/** `a - b`, same shape. */
export function sub(inputs: Operands): Tensor {
  expectShape('sub', 'b', inputs.b, inputs.a.shape);
  return addAlong(inputs, 0, -1);
}

/** x [.., G, K] to [.., G · times, K], each row `times` times in succession: heads that share keys and values. */
export function repeatHeads(x: Tensor, times: number): Tensor {
  return repeatHeadsOp({ x }, { times });
}

/** x [.., G · times, K] to [.., G, K], the sum of `times` rows in succession. */
export function sumHeads(x: Tensor, times: number): Tensor {
  expectShape('sum-heads', 'x', x, [...x.shape.slice(0, -2), Math.floor(x.dim(-2) / times) * times, -1]);
  return sumHeadsOp({ x }, { times });
}

type Placement = { readonly axis: number; readonly types: TypesOf<'a' | 'b' | 'y'> };

const mulAlongOp = defineOp<Operands, Placement>({
  name: 'mul-along',
  forward(call, { a, b }, { axis, types }) {
    const output = call.empty(a.shape, types.y);
    multiply(call, a, b, output, axis);
    return { output, save: { a: b.requiresGrad ? a : null, b } };
  },
  backward(call, saved, dy, { axis, types }) {
    const [a, b] = [saved.a ?? null, saved.b!];
    const da = call.needs.a ? call.empty(dy.shape, types.a) : null;
    if (da !== null) multiply(call, dy, b, da, axis);
    return { a: da, b: call.needs.b ? reduce(call, dy, a, b, axis, 1) : null };
  },
});

const addAlongOp = defineOp<Operands, Placement & { readonly factor: number }>({
  name: 'add-along',
  forward(call, { a, b }, { axis, factor, types }) {
    const output = call.empty(a.shape, types.y);
    const { middle, inner } = place('add-along', a, b, axis);
    call.native.broadcastAdd(call.stream, factor, a.id, b.id, output.id, middle, inner);
    call.device.flops += 2 * a.size;
    return { output, save: { b } };
  },
  backward(call, saved, dy, { axis, factor, types }) {
    return {
      a: call.needs.a ? castTo(call, dy, types.a) : null,
      b: call.needs.b ? reduce(call, dy, null, saved.b!, axis, factor) : null,
    };
  },
});

const repeatHeadsOp = defineOp<{ x: Tensor }, { times: number }>({
  name: 'repeat-heads',
  forward: (call, { x }, { times }) => ({ output: repeated(call, x, times), save: {} }),
  backward: (call, _saved, dy, { times }) => ({ x: summed(call, dy, times) }),
});

const sumHeadsOp = defineOp<{ x: Tensor }, { times: number }>({
  name: 'sum-heads',
  forward: (call, { x }, { times }) => ({ output: summed(call, x, times), save: {} }),
  backward: (call, _saved, dy, { times }) => ({ x: repeated(call, dy, times) }),
});

function repeated(call: ForwardCall, x: Tensor, times: number): Tensor {
  const y = call.empty([...x.shape.slice(0, -2), x.dim(-2) * times, x.dim(-1)], x.dtype);
  call.native.repeatRows(call.stream, x.id, y.id);
  return y;
}

function summed(call: ForwardCall, x: Tensor, times: number): Tensor {
  const y = call.empty([...x.shape.slice(0, -2), x.dim(-2) / times, x.dim(-1)], x.dtype);
  call.native.sumRepeats(call.stream, x.id, y.id);
  call.device.flops += x.size;
  return y;
}

/** a as [outer, middle, inner], b as [middle]. @throws LongscanError E-SHAPE if b's dims are not a's at `axis`. */
function place(op: string, a: Tensor, b: Tensor, axis: number): { middle: number; inner: number } {
  const first = axis < 0 ? a.shape.length + axis : axis;
  const along = a.shape.slice(first, first + b.shape.length);
  if (first < 0 || along.length !== b.shape.length || along.some((dim, i) => dim !== b.shape[i])) {
    throw new LongscanError({
      code: 'E-SHAPE',
      where: op,
      found: `b has shape [${b.shape.join(', ')}]`,
      expected: `the dims from ${axis} on of a's shape [${a.shape.join(', ')}]`,
      fix: 'reshape b to these dims, or name another axis',
    });
  }
  const product = (dims: readonly number[]) => dims.reduce((size, dim) => size * dim, 1);
  return { middle: product(along), inner: product(a.shape.slice(first + b.shape.length)) };
}

function multiply(call: ForwardCall, a: Tensor, b: Tensor, y: Tensor, axis: number): void {
  const { middle, inner } = place('mul-along', a, b, axis);
  call.native.broadcastMultiply(call.stream, a.id, b.id, y.id, middle, inner);
  call.device.flops += a.size;
}

/** The gradient of b: `factor · Σ dy · a` over the dims that b does not have, block by block, then the blocks. */
function reduce(
  call: BackwardCall<Operands>,
  dy: Tensor,
  a: Tensor | null,
  b: Tensor,
  axis: number,
  factor: number,
): Tensor | null {
  const { middle, inner } = place('broadcast', dy, b, axis);
  const numBlocks = Math.ceil(dy.size / (middle * inner) / blockRows);
  // What is no share but the gradient itself has b's type; shares of blocks are f32 beside data in bf16.
  const partialType: DType = numBlocks === 1 ? b.dtype : wideType(dy.dtype);
  const partial = call.empty([numBlocks, middle], partialType);
  call.native.broadcastReduce(call.stream, dy.id, a?.id ?? null, partial.id, middle, inner);
  call.device.flops += 2 * dy.size;
  if (factor !== 1) call.native.affine(call.stream, factor, 0, partial.id, partial.id);
  if (numBlocks === 1) return partial.view(b.shape);
  return call.weightGradient(b, [partial], (target, accumulate) => {
    sumRows(partial, target.view([middle]), accumulate);
  });
}
