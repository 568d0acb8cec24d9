import { LongscanError } from '../errors.js';
import type { Tensor } from '../tensor.js';
import { defineOp } from './define-op.js';

/**
 * The same elements in another shape, without a copy: `[B, T, H·K]` to `[B, T, H, K]`. One dim may be -1: what is left.
 * @throws LongscanError E-SHAPE if the sizes differ.
 */
export function reshape(x: Tensor, shape: readonly number[]): Tensor {
  const known = shape.reduce((product, dim) => (dim === -1 ? product : product * dim), 1);
  const full = shape.map((dim) => (dim === -1 ? x.size / known : dim));
  if (full.reduce((product, dim) => product * dim, 1) !== x.size || !full.every(Number.isInteger)) {
    throw new LongscanError({
      code: 'E-SHAPE',
      where: 'reshape',
      found: `[${x.shape.join(', ')}] cannot become [${shape.join(', ')}]`,
      expected: `a shape of ${x.size} elements`,
      fix: 'give a shape with as many elements',
    });
  }
  return reshapeOp({ x }, { from: x.shape, to: full });
}

const reshapeOp = defineOp<{ x: Tensor }, { from: readonly number[]; to: readonly number[] }>({
  name: 'reshape',
  isCheap: true,
  comesWith: 'view',
  units: 'all',
  forward: (_call, { x }, { to }) => ({ output: x.view(to), save: {} }),
  backward: (_call, _saved, gradient, { from }) => ({ x: gradient.view(from) }),
});
