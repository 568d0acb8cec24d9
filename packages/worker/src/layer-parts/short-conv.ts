import { linear, repeatHeads, reshape, type Tensor, type UnitHeads } from '@longscan/kernels';
import type { LayerContext, ParameterDeclarer } from '../layer.js';

/** Of x [B, T, D] and the context that it is in. */
export type ContextFunction = (x: Tensor, context: LayerContext) => Tensor;

export interface ShortConvOptions {
  /** Groups of channels that share the weight; default: 1. */
  readonly copies?: number;
  /** Heads of so many channels are scaled to length one; default: none are. */
  readonly unitHeads?: UnitHeads | undefined;
}

/**
 * Depthwise causal convolution over the last `convSize` tokens, then SiLU: [B, T, width] to [B, T, width]. Its weight
 * `<name>.conv` [width / copies, convSize] starts uniform in ±1/√convSize.
 */
function shortConv(
  param: ParameterDeclarer,
  name: string,
  width: number,
  convSize: number,
  { copies = 1, unitHeads }: ShortConvOptions = {},
): ContextFunction {
  const options = { activation: 'silu', unitHeads } as const;
  const bound = 1 / Math.sqrt(convSize);
  const shared = param.tensor(`${name}.conv`, [width / copies, convSize], {
    each: (_index, uniform) => bound * (2 * uniform() - 1),
  });
  return (x, context) => {
    if (copies === 1) return context.causalConv1d(x, shared, options);
    const copied = repeatHeads(reshape(shared, [1, shared.size]), copies);
    const weight = reshape(copied, [width, convSize]);
    return context.causalConv1d(x, weight, options);
  };
}

/**
 * The projection `<name>` of x [B, T, D] through a short convolution, cut into heads: [B, T, ...heads, size]. `copies` as
 * in `shortConv`; `unit`: heads are of length one.
 */
export function convolvedHeads(
  param: ParameterDeclarer,
  name: string,
  heads: readonly number[],
  size: number,
  convSize: number,
  { copies = 1, unit = false } = {},
): ContextFunction {
  const width = heads.reduce((product, dim) => product * dim, size);
  const weight = param.projection(name, width, param.dModel);
  const conv = shortConv(param, name, width, convSize, { copies, unitHeads: unit ? { size } : undefined });
  return (x, context) => {
    const [B, T] = x.shape as [number, number, number];
    return reshape(conv(linear({ x, weight, bias: null }), context), [B, T, ...heads, size]);
  };
}
