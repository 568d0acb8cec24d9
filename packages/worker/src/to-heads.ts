import { linear, reshape, type Tensor } from '@longscan/kernels';

/** x [B, T, D] through a weight [heads · size, D] to [B, T, heads, size]. */
export function toHeads(x: Tensor, weight: Tensor, heads: number): Tensor {
  const [B, T] = x.shape as [number, number];
  return reshape(linear({ x, weight, bias: null }), [B, T, heads, weight.dim(0) / heads]);
}
