import { activation, addAlong, scale, type Tensor } from '@longscan/kernels';
import type { ParameterDeclarer } from '../layer.js';

/** A forget gate a in (0, 1) as what a recurrence wants of it. */
export interface ForgetGate {
  /** log a, <= 0 */
  readonly log: Tensor;
  /** 1 - a, without cancellation where a is close to 1. */
  readonly complement: Tensor;
}

/**
 * HGRN's forget gate (arXiv 2311.04823, section 3.2): a = γ + (1 - γ) σ(x) with a learned lower bound γ per channel that
 * starts as layer / layers, so that later layers remember longer (a hundredth of a layer more: the papers' 0 of the first
 * layer has no logarithm). Returns x [.., size] to a.
 *
 * The papers take γ of all layers from one cumulative softmax over depth. Here each layer has its own, γ = σ(λ) with the
 * parameter `lowerBound` = λ [size]: the same gates, but nothing holds them in order of depth. A checkpoint of the other
 * form maps onto this one by λ = log(γ / (1 - γ)).
 */
export function lowerBoundedGate(param: ParameterDeclarer, size: number): (x: Tensor) => ForgetGate {
  const start = (param.layer.index + 0.01) / param.layer.count;
  const lowerBound = param.tensor('lowerBound', [size], { constant: Math.log(start / (1 - start)) });
  // σ(λ + softplus(x - log γ)) is a: with r = γ / (1 - γ), a / (1 - a) = r (1 + e^x / γ).
  return (x) => {
    const minusLogBound = activation('softplus', scale(lowerBound, -1));
    const above = activation('softplus', addAlong({ a: x, b: minusLogBound }, -1));
    const logit = addAlong({ a: above, b: lowerBound }, -1);
    return {
      log: activation('log-sigmoid', logit),
      complement: activation('sigmoid', scale(logit, -1)),
    };
  };
}
