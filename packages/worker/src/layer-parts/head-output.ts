import { activation, linear, mul, reshape, rmsNorm, type Tensor } from '@longscan/kernels';
import type { ParameterDeclarer } from '../layer.js';

export interface HeadOutputOptions {
  readonly numHeads: number;
  /** Values of a head. */
  readonly size: number;
  readonly normEps: number;
  /** [B, T, D] to the gate's logits [B, T, H·size]; null: no gate. */
  readonly gate: ((x: Tensor) => Tensor) | null;
  readonly gateActivation?: 'silu' | 'sigmoid';
}

/** `recur` gives a recurrence's output [B, T, H, size] and runs `meanwhile` while states travel. */
export type HeadOutput = (x: Tensor, recur: (meanwhile: () => void) => Tensor) => Tensor;

/** RMS norm per head (`norm`), output gate, projection (`o`): to [B, T, D]. The gate is computed while states travel. */
export function headOutput(
  param: ParameterDeclarer,
  { numHeads: H, size, normEps, gate, gateActivation = 'silu' }: HeadOutputOptions,
): HeadOutput {
  const weight = param.tensor('norm', [size], { constant: 1 });
  const projection = param.projection('o', param.dModel, H * size);
  return (x, recur) => {
    const [B, T] = x.shape as [number, number, number];
    let factor: Tensor | null = null;
    const o = recur(() => {
      if (gate !== null) factor = activation(gateActivation, gate(x));
    });
    const normed = reshape(rmsNorm({ x: o, weight }, normEps), [B, T, H * size]);
    return linear({
      x: factor === null ? normed : mul({ a: normed, b: factor }),
      weight: projection,
      bias: null,
    });
  };
}
