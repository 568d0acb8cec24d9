import { defineOp, type ForwardCall } from '../../autograd/define-op.js';
import { reshape } from '../../autograd/reshape.js';
import { expectShape, type Tensor } from '../../tensor.js';
import { l2Norm } from '../rms-norm/index.js';
import { sumRows } from '../sum-rows/index.js';
import '../swap-axes/index.js';
import './native.js';

/** `causalConvBlockTokens` in causal_conv.h. */
const blockTokens = 64;
const lengthEps = 1e-6;

export type CausalConvInputs = {
  /** [B, T, D] */
  readonly x: Tensor;
  /** [D, W]; the last tap is that of the token itself, as in PyTorch's conv1d. */
  readonly weight: Tensor;
  /** [D] */
  readonly bias: Tensor | null;
  /** [B, W - 1, D]: the tokens before x; null: zeros. */
  readonly halo: Tensor | null;
};

/** Heads of `size` neighbouring channels of a row. */
export interface UnitHeads {
  readonly size: number;
  /** Added to the sum of a head's squares; default: that of `l2Norm`. */
  readonly eps?: number;
}

export interface CausalConvOptions {
  /** i32 [B, T], 1 where a document starts: no tap reaches over it; null: one document. */
  readonly resets: Tensor | null;
  /** Fused with the convolution; default: none. */
  readonly activation?: 'silu' | undefined;
  /** What the activation gives is scaled as by `unitHeads`; default: not. */
  readonly unitHeads?: UnitHeads | undefined;
}

/**
 * A convolution of each channel with itself, over the token and the W - 1 before it:
 * `y[t, d] = act(bias[d] + Σ_j weight[d, W - 1 - j] x[t - j, d])`. Shape of x. What lies before a token's document is left
 * out, whatever its value.
 */
export function causalConv(
  inputs: CausalConvInputs,
  { resets, activation, unitHeads }: CausalConvOptions,
): Tensor {
  const silu = activation === 'silu';
  if (unitHeads === undefined) return causalConvOp(inputs, { resets, silu, heads: null });
  const { x, weight } = inputs;
  if (x.device.isGpu && fusesHeads(weight.dim(1), unitHeads.size)) {
    return causalConvOp(inputs, { resets, silu, heads: { eps: lengthEps, ...unitHeads } });
  }
  return scaleHeads(causalConvOp(inputs, { resets, silu, heads: null }), unitHeads);
}

/** Each head of x [B, T, D] scaled to length one, as by `l2Norm`. */
export function scaleHeads(x: Tensor, { size, eps = lengthEps }: UnitHeads): Tensor {
  const [B, T, D] = x.shape as [number, number, number];
  return reshape(l2Norm(reshape(x, [B, T, D / size, size]), eps), x.shape);
}

/** Whether the CUDA kernels scale heads of `size` channels themselves, by cuda.h. */
function fusesHeads(W: number, size: number): boolean {
  return W <= 8 && size % 4 === 0 && size <= 256;
}

interface Attributes {
  readonly resets: Tensor | null;
  readonly silu: boolean;
  /** Only on a GPU; null: none are scaled. */
  readonly heads: { readonly size: number; readonly eps: number } | null;
}

const causalConvOp = defineOp<CausalConvInputs, Attributes>({
  name: 'causal-conv',
  forward(call, { x, weight, bias, halo }, { resets, silu, heads }) {
    expectShape('causal-conv', 'x', x, [-1, -1, -1]);
    const [B, T, D] = x.shape as [number, number, number];
    expectShape('causal-conv', 'weight', weight, [D, -1]);
    const W = weight.dim(1);
    if (bias !== null) expectShape('causal-conv', 'bias', bias, [D]);
    if (halo !== null) expectShape('causal-conv', 'halo', halo, [B, W - 1, D]);
    if (resets !== null) expectShape('causal-conv', 'resets', resets, [B, T]);
    const output = call.empty(x.shape, x.dtype);
    call.device.flops += (2 * W + (silu ? 4 : 0) + (heads === null ? 0 : 4)) * x.size;
    if (call.device.isGpu) {
      const rstd = heads && call.empty([B, T, D / heads.size], 'f32');
      const saved = { x, halo, taps: weight, resets, bias, rstd };
      const eps = heads?.eps ?? 0;
      call.native.causalConvCudaForward(call.stream, ...onGpu(saved, silu, heads), eps, output.id);
      return { output, save: saved };
    }
    const taps = transposed(call, weight);
    call.native.causalConvForward(call.stream, ...shared({ x, halo, taps, resets, bias }), silu, output.id);
    return { output, save: { x, taps, bias, halo, resets } };
  },
  backward(call, saved, dy, attributes) {
    if (call.device.isGpu) return backwardOnGpu(call, saved, dy, attributes);
    const { silu } = attributes;
    const { needs } = call;
    const halo = saved.halo ?? null;
    const [B, T, D] = dy.shape as [number, number, number];
    const W = saved.taps!.dim(0);
    const dx = call.empty(dy.shape, dy.dtype);
    const dHalo = halo && call.empty(halo.shape, dy.dtype);
    const weightType = saved.taps!.dtype;
    const blocks = call.empty([B * Math.ceil(T / blockTokens), (W + 1) * D], weightType);
    const inputs = shared(saved);
    call.native.causalConvBackward(call.stream, ...inputs, silu, dy.id, dx.id, dHalo?.id ?? null, blocks.id);
    call.device.flops += (4 * W + (silu ? 2 * W + 8 : 0)) * dy.size;
    if (!needs.weight && !needs.bias) return { x: dx, halo: dHalo };
    const sums = call.empty([(W + 1) * D], weightType);
    sumRows(blocks, sums, false);
    return {
      x: dx,
      weight: transposed(call, sums.view([W, D])),
      bias: needs.bias ? sums.view([D], W * D) : null,
      halo: dHalo,
    };
  },
});

/** There the weights stay as they are, in their own type. */
function backwardOnGpu(
  call: ForwardCall,
  saved: Readonly<Record<string, Tensor | null>>,
  dy: Tensor,
  { silu, heads }: Attributes,
) {
  const { halo, taps: weight, bias } = saved as { halo: Tensor | null; taps: Tensor; bias: Tensor | null };
  const dx = call.empty(dy.shape, dy.dtype);
  const dHalo = halo && call.empty(halo.shape, dy.dtype);
  const dWeight = call.empty(weight.shape, weight.dtype);
  const dBias = bias && call.empty(bias.shape, bias.dtype);
  call.native.causalConvCudaBackward(
    call.stream,
    ...onGpu(saved, silu, heads),
    dy.id,
    dx.id,
    dHalo?.id ?? null,
    dWeight.id,
    dBias?.id ?? null,
  );
  const again = silu || heads !== null ? 2 * weight.dim(1) + 8 : 0;
  call.device.flops += (4 * weight.dim(1) + again + (heads === null ? 0 : 6)) * dy.size;
  return { x: dx, weight: dWeight, bias: dBias, halo: dHalo };
}

/** The inputs of both passes, in the order of the native calls; `taps`: [W, D], on a GPU [D, W]. */
function shared({ x, halo, taps, resets, bias }: Readonly<Record<string, Tensor | null>>) {
  return [x!.id, halo?.id ?? null, taps!.id, resets?.id ?? null, bias?.id ?? null] as const;
}

function onGpu(saved: Readonly<Record<string, Tensor | null>>, silu: boolean, heads: Attributes['heads']) {
  return [...shared(saved), silu, heads?.size ?? 0, saved.rstd?.id ?? null] as const;
}

/** [D, W] to [W, D], so that the channels of a tap lie side by side, and back. */
function transposed(call: ForwardCall, weight: Tensor): Tensor {
  const [rows, cols] = weight.shape as [number, number];
  const result = call.empty([cols, rows], weight.dtype);
  call.native.swapAxes(call.stream, weight.id, result.id);
  return result;
}
