import { blockLinear, reshape, type Tensor } from '@longscan/kernels';
import type { Init, ParameterDeclarer } from '../layer.js';

/**
 * A block-diagonal projection: each of `numBlocks` runs of `size` features is mapped by a matrix of its own, `<name>`
 * [numBlocks, size, size] as [block, out, in]. From x [B, T, numBlocks·size] to [B, T, numBlocks, size].
 */
export function headwiseProjection(
  param: ParameterDeclarer,
  name: string,
  { numBlocks, size, init }: { numBlocks: number; size: number; init: Init },
): (x: Tensor) => Tensor {
  const weight = param.tensor(name, [numBlocks, size, size], init);
  return (x) => {
    const [B, T] = x.shape as [number, number, number];
    return blockLinear({ x: reshape(x, [B, T, numBlocks, size]), weight });
  };
}

/** Standard deviation √(2 / 5D) of projections of the residual stream (Nguyen and Salazar, arXiv 1910.05895). */
export function smallInit(dModel: number): Init {
  return { normal: Math.sqrt(2 / (5 * dModel)) };
}
