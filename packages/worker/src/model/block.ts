import { add, linear, rmsNorm, swiglu, type Tensor } from '@longscan/kernels';
import type { LayerContext, LayerFunction, ParameterDeclarer } from '../layer.js';

export const normEps = 1e-5;

/** x [B, T, D] to [B, T, D]: x + mixer(norm(x)), then x + mlp(norm(x)), as in Llama. */
export type Block = (x: Tensor, context: LayerContext) => Tensor;

/** A block around a token mixer; `mlp`: hidden width of the SwiGLU, 0 for none. */
export function createBlock(mixer: LayerFunction, mlp: number, param: ParameterDeclarer): Block {
  const D = param.dModel;
  const mixerNorm = param.tensor('norm.mixer', [D], { constant: 1 });
  const feedForward = mlp === 0 ? null : createMlp(mlp, param);
  return (x, context) => {
    const mixed = add({ a: x, b: mixer(rmsNorm({ x, weight: mixerNorm }, normEps), context) });
    return feedForward === null ? mixed : add({ a: mixed, b: feedForward(mixed) });
  };
}

function createMlp(hidden: number, param: ParameterDeclarer): (x: Tensor) => Tensor {
  const D = param.dModel;
  const norm = param.tensor('norm.mlp', [D], { constant: 1 });
  const wGate = param.projection('mlp.gate', hidden, D);
  const wUp = param.projection('mlp.up', hidden, D);
  const wDown = param.projection('mlp.down', D, hidden);
  return (x) => {
    const y = rmsNorm({ x, weight: norm }, normEps);
    const gate = linear({ x: y, weight: wGate, bias: null });
    const up = linear({ x: y, weight: wUp, bias: null });
    return linear({ x: swiglu({ gate, up }), weight: wDown, bias: null });
  };
}
