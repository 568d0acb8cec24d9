import { linear, reshape, type Tensor } from '@longscan/kernels';
import type { LayerContext, ParameterDeclarer } from './layer.js';

/** Of x [B, T, D] and the context that it is in. */
export type ContextFunction = (x: Tensor, context: LayerContext) => Tensor;

/**
 * Depthwise causal convolution over the last `convSize` tokens, then SiLU: [B, T, width] to [B, T, width]. Its weight
 * `<name>.conv` [width, convSize] starts uniform in ±1/√convSize.
 */
export function shortConv(
  param: ParameterDeclarer,
  name: string,
  width: number,
  convSize: number,
): ContextFunction {
  const bound = 1 / Math.sqrt(convSize);
  const weight = param.tensor(`${name}.conv`, [width, convSize], {
    each: (_index, uniform) => bound * (2 * uniform() - 1),
  });
  return (x, context) => context.causalConv1d(x, weight, { activation: 'silu' });
}

/** The projection `<name>` of x [B, T, D] through a short convolution, cut into heads: [B, T, ...heads, size]. */
export function convolvedHeads(
  param: ParameterDeclarer,
  name: string,
  heads: readonly number[],
  size: number,
  convSize: number,
): ContextFunction {
  const width = heads.reduce((product, dim) => product * dim, size);
  const weight = param.projection(name, width, param.dModel);
  const conv = shortConv(param, name, width, convSize);
  return (x, context) => {
    const [B, T] = x.shape as [number, number, number];
    return reshape(conv(linear({ x, weight, bias: null }), context), [B, T, ...heads, size]);
  };
}
