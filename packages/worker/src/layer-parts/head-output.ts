import { type GateActivation, gatedNorm, linear, reshape, rmsNorm, type Tensor } from '@longscan/kernels';
import type { ParameterDeclarer } from '../layer.js';

export interface HeadOutputOptions {
  readonly numHeads: number;
  /** Values of a head. */
  readonly size: number;
  readonly normEps: number;
  /** [B, T, D] to the gate's logits [B, T, H·size]; null: no gate. */
  readonly gate: ((x: Tensor) => Tensor) | null;
  readonly gateActivation?: GateActivation;
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
    let logits: Tensor | null = null;
    const o = recur(() => {
      if (gate !== null) logits = reshape(gate(x), [B, T, H, size]);
    });
    const normed =
      logits === null
        ? rmsNorm({ x: o, weight }, normEps)
        : gatedNorm({ x: o, weight, gate: logits }, gateActivation, normEps);
    return linear({ x: reshape(normed, [B, T, H * size]), weight: projection, bias: null });
  };
}
