import { add, gatedMlp, residualNorm, type Tensor } from '@longscan/kernels';
import type { LayerContext, LayerFunction, ParameterDeclarer } from '../layer.js';

export const normEps = 1e-5;

/** What runs past the blocks, in two parts [B, T, D] that the next norm adds up; `branch` null: one. */
export interface Residual {
  readonly stream: Tensor;
  readonly branch: Tensor | null;
}

/** Two halves, one after the other, as in Llama. */
export interface Block {
  /** x to x + mixer(norm(x)): all that looks at other tokens. */
  readonly mix: (residual: Residual, context: LayerContext) => Residual;
  /** x to x + mlp(norm(x)). `known`: the MLP's output, from a run on the same numbers. */
  readonly feedForward: (residual: Residual, known: Tensor | null) => Residual;
}

export function sumOf({ stream, branch }: Residual): Tensor {
  return branch === null ? stream : add({ a: stream, b: branch });
}

/** A block around a token mixer; `mlp`: hidden width of the SwiGLU, 0 for none. */
export function createBlock(mixer: LayerFunction, mlp: number, param: ParameterDeclarer): Block {
  const mixerNorm = param.tensor('norm.mixer', [param.dModel], { constant: 1 });
  return {
    // What the mixer leaves is gone before the rest of the block takes memory.
    mix: ({ stream: x, branch }, context) =>
      x.device.scope(() => {
        const { stream, normed } = residualNorm({ x, branch, weight: mixerNorm }, normEps);
        return { stream, branch: mixer(normed, context) };
      }),
    feedForward: mlp === 0 ? (mixed) => mixed : createMlp(mlp, param),
  };
}

/** x to x + mlp(norm(x)). */
function createMlp(hidden: number, param: ParameterDeclarer): Block['feedForward'] {
  const D = param.dModel;
  const weight = param.tensor('norm.mlp', [D], { constant: 1 });
  const wGate = param.projection('mlp.gate', hidden, D);
  const wUp = param.projection('mlp.up', hidden, D);
  const wDown = param.projection('mlp.down', D, hidden);
  return ({ stream: x, branch }, known) => {
    const { stream, normed } = residualNorm({ x, branch, weight }, normEps);
    return { stream, branch: gatedMlp({ x: normed, gate: wGate, up: wUp, down: wDown }, known) };
  };
}
