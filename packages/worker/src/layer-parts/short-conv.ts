import { linear, repeatHeads, reshape, type Tensor } from '@longscan/kernels';
import type { LayerContext, ParameterDeclarer } from '../layer.js';

/** Of x [B, T, D] and the context that it is in. */
export type ContextFunction = (x: Tensor, context: LayerContext) => Tensor;

/**
 * Depthwise causal convolution over the last `convSize` tokens, then SiLU: [B, T, width] to [B, T, width]. Its weight
 * `<name>.conv` [width / copies, convSize] starts uniform in ±1/√convSize; `copies` groups of channels share it.
 */
export function shortConv(
  param: ParameterDeclarer,
  name: string,
  width: number,
  convSize: number,
  copies = 1,
): ContextFunction {
  const bound = 1 / Math.sqrt(convSize);
  const shared = param.tensor(`${name}.conv`, [width / copies, convSize], {
    each: (_index, uniform) => bound * (2 * uniform() - 1),
  });
  return (x, context) => {
    if (copies === 1) return context.causalConv1d(x, shared, { activation: 'silu' });
    const copied = repeatHeads(reshape(shared, [1, shared.size]), copies);
    const weight = reshape(copied, [width, convSize]);
    return context.causalConv1d(x, weight, { activation: 'silu' });
  };
}

/**
 * The projection `<name>` of x [B, T, D] through a short convolution, cut into heads: [B, T, ...heads, size]. `copies` as
 * in `shortConv`.
 */
export function convolvedHeads(
  param: ParameterDeclarer,
  name: string,
  heads: readonly number[],
  size: number,
  convSize: number,
  copies = 1,
): ContextFunction {
  const width = heads.reduce((product, dim) => product * dim, size);
  const weight = param.projection(name, width, param.dModel);
  const conv = shortConv(param, name, width, convSize, copies);
  return (x, context) => {
    const [B, T] = x.shape as [number, number, number];
    return reshape(conv(linear({ x, weight, bias: null }), context), [B, T, ...heads, size]);
  };
}
