import type { ParameterDeclarer } from '../layer.js';
import { headSize } from './head-size.js';
import { expectCount, expectUpTo } from './layer-options.js';
import { type ContextFunction, convolvedHeads } from './short-conv.js';

/** Options that the layers of the delta family have in common. */
export interface DeltaHeadOptions {
  readonly numHeads: number;
  readonly expandK: number;
  readonly expandV: number;
  readonly convSize: number;
}

export interface DeltaHeads {
  readonly K: number;
  readonly V: number;
  /** [B, T, H, K] */
  readonly query: ContextFunction;
  /** [B, T, ...steps, H, K] */
  readonly key: ContextFunction;
  /** [B, T, ...steps, H, V] */
  readonly value: ContextFunction;
}

/**
 * q, k and v of the delta family: projections through short convolutions with SiLU, none of them normalised yet.
 * `steps`: [n] where a token takes n steps of the recurrence.
 */
export function deltaHeads(
  param: ParameterDeclarer,
  layer: string,
  { numHeads: H, expandK, expandV, convSize }: DeltaHeadOptions,
  steps: readonly number[] = [],
): DeltaHeads {
  expectCount(layer, { convSize });
  const K = headSize(layer, 'expandK', expandK, param.dModel, H);
  const V = headSize(layer, 'expandV', expandV, param.dModel, H);
  const query = convolvedHeads(param, 'q', [H], K, convSize);
  const key = convolvedHeads(param, 'k', [...steps, H], K, convSize);
  const value = convolvedHeads(param, 'v', [...steps, H], V, convSize);
  return { K, V, query, key, value };
}

/**
 * Above 2, where β k kᵀ reflects a key of length one, M would make its part of the state longer at each token.
 * @throws LongscanError E-CFG-RANGE
 */
export function expectStrength(layer: string, betaMax: number): void {
  expectUpTo(layer, 2, { betaMax });
}
