import { reshape } from './autograd/reshape.js';
import { mulAlong, repeatHeads, sumHeads } from './ops/broadcast/index.js';
import { mul, scale } from './ops/pointwise/index.js';
import type { Tensor } from './tensor.js';
import { wideType } from './types-of.js';

export interface OwnReadInputs {
  /** [B, T, G, K] for G groups of H / G heads in succession. */
  readonly q: Tensor;
  /** Like q. */
  readonly k: Tensor;
  /** [B, T, H, V] */
  readonly v: Tensor;
  /** Weights of k, [H, K]; null: 1. */
  readonly u?: Tensor | null;
  /** Weights of v, [B, T, H]; null: 1. */
  readonly beta?: Tensor | null;
}

/** What a token reads of itself where it writes `β k vᵀ`: `factor · β (q · (u ∘ k)) v`, [B, T, H, V]. Differentiable. */
export function ownReads({ q, k, v, u = null, beta = null }: OwnReadInputs, factor: number): Tensor {
  const [B, T, H] = v.shape as [number, number, number];
  const products = mul({ a: q, b: k }, wideType(q.dtype));
  const perHead = q.dim(2) === H ? products : repeatHeads(products, H / q.dim(2));
  const weighted = u === null ? perHead : mulAlong({ a: perHead, b: u }, 2);
  const strength = scale(rowSums(weighted, [B, T, H]), factor);
  return mulAlong({ a: v, b: beta === null ? strength : mul({ a: strength, b: beta }) }, 0, v.dtype);
}

/** Sums over the last dim of x, in this shape. */
export function rowSums(x: Tensor, shape: readonly number[]): Tensor {
  const K = x.dim(-1);
  return reshape(sumHeads(reshape(x, [x.size, 1]), K), shape);
}
