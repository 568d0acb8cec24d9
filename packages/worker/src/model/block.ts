import { add, linear, projectedSwiglu, residualNorm, type Tensor } from '@longscan/kernels';
import type { LayerContext, LayerFunction, ParameterDeclarer } from '../layer.js';

export const normEps = 1e-5;

/** x [B, T, D] to [B, T, D]: x + mixer(norm(x)), then x + mlp(norm(x)), as in Llama. */
export type Block = (x: Tensor, context: LayerContext) => Tensor;

/** A block around a token mixer; `mlp`: hidden width of the SwiGLU, 0 for none. */
export function createBlock(mixer: LayerFunction, mlp: number, param: ParameterDeclarer): Block {
  const mixerNorm = param.tensor('norm.mixer', [param.dModel], { constant: 1 });
  const feedForward = mlp === 0 ? null : createMlp(mlp, param);
  return (x, context) => {
    const { stream, normed } = residualNorm({ x, branch: null, weight: mixerNorm }, normEps);
    const mixed = mixer(normed, context);
    return feedForward === null ? add({ a: stream, b: mixed }) : feedForward(stream, mixed);
  };
}

/** What runs past the mixer, and the mixer's output, both [B, T, D]: to their sum + mlp(norm(their sum)). */
function createMlp(hidden: number, param: ParameterDeclarer): (x: Tensor, branch: Tensor) => Tensor {
  const D = param.dModel;
  const weight = param.tensor('norm.mlp', [D], { constant: 1 });
  const wGate = param.projection('mlp.gate', hidden, D);
  const wUp = param.projection('mlp.up', hidden, D);
  const wDown = param.projection('mlp.down', D, hidden);
  return (x, branch) => {
    const { stream, normed } = residualNorm({ x, branch, weight }, normEps);
    const product = projectedSwiglu({ x: normed, gate: wGate, up: wUp });
    return add({ a: stream, b: linear({ x: product, weight: wDown, bias: null }) });
  };
}
