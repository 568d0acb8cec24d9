import { activation, addAlong, mulAlong, reshape, scale, type Tensor } from '@longscan/kernels';
import type { Init, ParameterDeclarer } from '../layer.js';
import { lowRank } from './low-rank.js';
import { projection } from './projections.js';

/** Range of the step Δ that `mambaStep` starts with (Mamba, arXiv 2312.00752, section 3.6). */
const firstStep = { low: 1e-3, high: 1e-1 };

/** Bias before the softplus: the step Δ starts log-uniform between 1e-3 and 1e-1. */
export const mambaStep: Init = {
  each: (_index, uniform) => {
    const { low, high } = firstStep;
    const step = low * (high / low) ** uniform();
    return step + Math.log(-Math.expm1(-step)); // the inverse of softplus
  },
};

/** log A with A uniform between two rates; a rate of zero would never forget and have no logarithm. */
export function logUniform(low: number, high: number): Init {
  return { each: (_index, uniform) => Math.log(Math.max(low + (high - low) * uniform(), 1e-4)) };
}

export interface DecayGateOptions {
  readonly numHeads: number;
  /** Channels of a head that have a decay each; left out: one decay per head. */
  readonly size?: number;
  readonly rates: Init;
}

/**
 * Log decays g = -exp(a_log) · softplus(logits + dt_bias), <= 0, of Mamba-2 and those who took it over. From logits
 * [B, T, H] to [B, T, H], or with `size` from [B, T, H·size] to [B, T, H, size]; `a_log` [H] is shared by a head.
 */
export function decayGate(
  param: ParameterDeclarer,
  { numHeads: H, size, rates }: DecayGateOptions,
): (logits: Tensor) => Tensor {
  const aLog = param.tensor('a_log', [H], rates);
  const dtBias = param.tensor('dt_bias', [H * (size ?? 1)], mambaStep);
  return (logits) => {
    const [B, T] = logits.shape as [number, number, number];
    const step = activation('softplus', addAlong({ a: logits, b: dtBias }, -1));
    const perHead = size === undefined ? step : reshape(step, [B, T, H, size]);
    return scale(mulAlong({ a: perHead, b: activation('exp', aLog) }, 2), -1);
  };
}

/** x [B, T, D] to one log decay per head [B, T, H], by the projection `a`: Gated DeltaNet's. */
export function headDecay(param: ParameterDeclarer, numHeads: number): (x: Tensor) => Tensor {
  const logits = projection(param, 'a', numHeads);
  const decay = decayGate(param, { numHeads, rates: logUniform(0, 16) });
  return (x) => decay(logits(x));
}

/** x [B, T, D] to one log decay per channel [B, T, H, size], through the narrow `f`: KDA's. */
export function channelDecay(
  param: ParameterDeclarer,
  numHeads: number,
  size: number,
  rank: number,
): (x: Tensor) => Tensor {
  const logits = lowRank(param, 'f', { out: numHeads * size, rank, bias: null });
  const decay = decayGate(param, { numHeads, size, rates: logUniform(1, 16) });
  return (x) => decay(logits(x));
}
