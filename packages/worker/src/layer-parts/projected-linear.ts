import {
  areJoinable,
  gatedLinear,
  joinedGatedLinear,
  linear,
  linearJoined,
  reshape,
  type Tensor,
  takesJoinedHeads,
} from '@longscan/kernels';
import type { LayerContext } from '../layer.js';

const op = gatedLinear('identity');

/** Weights of queries and keys [H·K, D] and of values [H·V, D]. */
export interface LinearProjections {
  readonly query: Tensor;
  readonly key: Tensor;
  readonly value: Tensor;
}

/**
 * Linear attention on projections as they are, o_t = Σ_s (q_t·k_s) v_s / √K: x [B, T, D] to [B, T, H, V]. On a GPU, with K = V,
 * q, k and v are one product, and stay side by side.
 */
export function projectedLinear(
  x: Tensor,
  { query, key, value }: LinearProjections,
  numHeads: number,
  context: LayerContext,
): Tensor {
  const [B, T] = x.shape as [number, number, number];
  const [K, V] = [query.dim(0) / numHeads, value.dim(0) / numHeads];
  if (areJoinable([query, key, value]) && takesJoinedHeads(x, K, V)) {
    const qkv = linearJoined({ x, first: query, second: key, third: value });
    return context.recurrence(joinedGatedLinear, { qkv: reshape(qkv, [B, T, 2 + V / K, numHeads, K]) });
  }
  const project = (weight: Tensor) =>
    reshape(linear({ x, weight, bias: null }), [B, T, numHeads, weight.dim(0) / numHeads]);
  return context.recurrence(op, { q: project(query), k: project(key), v: project(value), g: null });
}
