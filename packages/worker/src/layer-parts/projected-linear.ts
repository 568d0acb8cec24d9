import {
  areJoinable,
  gatedLinear,
  joinedLinear,
  linear,
  linearJoined,
  reshape,
  type Tensor,
  takesJoinedHeads,
} from '@longscan/kernels';
import type { LayerContext, ParameterDeclarer } from '../layer.js';

export interface LinearHeads {
  readonly numHeads: number;
  /** Channels of a head's queries and keys, and of its values. */
  readonly K: number;
  readonly V: number;
}

/** x [B, T, D] to [B, T, H, V]; `meanwhile` runs while states travel. */
export type ProjectedLinear = (x: Tensor, context: LayerContext, meanwhile?: () => void) => Tensor;

const op = gatedLinear('identity');

/**
 * Linear attention of the projections `q`, `k` and `v` as they are. On a GPU they are one product where they are parameters one
 * after the other, stay side by side, and so do their gradients.
 */
export function projectedLinear(
  param: ParameterDeclarer,
  { numHeads: H, K, V }: LinearHeads,
): ProjectedLinear {
  const first = param.projection('q', H * K, param.dModel);
  const second = param.projection('k', H * K, param.dModel);
  const third = param.projection('v', H * V, param.dModel);
  return (x, context, meanwhile) => {
    const [B, T] = x.shape as [number, number, number];
    if (areJoinable([first, second, third]) && takesJoinedHeads(x, K, V)) {
      const rows = linearJoined({ x, first, second, third });
      const qkv = reshape(rows, [B, T, 2 + V / K, H, K]);
      return context.recurrence(joinedLinear, { qkv }, meanwhile);
    }
    const project = (weight: Tensor, size: number) =>
      reshape(linear({ x, weight, bias: null }), [B, T, H, size]);
    const inputs = { q: project(first, K), k: project(second, K), v: project(third, V), g: null };
    return context.recurrence(op, inputs, meanwhile);
  };
}
