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

/** Where q, k and v of a layer of the delta family differ. */
export interface DeltaHeadShape {
  /** [n] where a token takes n steps of the recurrence; default: none. */
  readonly steps?: readonly number[];
  /** Which of them are of length one, by head; default: q and k. */
  readonly unit?: string;
}

/** q, k and v of the delta family: projections through short convolutions with SiLU. */
export function deltaHeads(
  param: ParameterDeclarer,
  layer: string,
  { numHeads: H, expandK, expandV, convSize }: DeltaHeadOptions,
  { steps = [], unit = 'qk' }: DeltaHeadShape = {},
): DeltaHeads {
  expectCount(layer, { convSize });
  const K = headSize(layer, 'expandK', expandK, param.dModel, H);
  const V = headSize(layer, 'expandV', expandV, param.dModel, H);
  const rows = (name: string, heads: readonly number[], size: number) =>
    convolvedHeads(param, name, heads, size, convSize, { unit: unit.includes(name) });
  const query = rows('q', [H], K);
  const key = rows('k', [...steps, H], K);
  const value = rows('v', [...steps, H], V);
  return { K, V, query, key, value };
}

/**
 * Above 2, where β k kᵀ reflects a key of length one, M would make its part of the state longer at each token.
 * @throws LongscanError E-CFG-RANGE
 */
export function expectStrength(layer: string, betaMax: number): void {
  expectUpTo(layer, 2, { betaMax });
}
