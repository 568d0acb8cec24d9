import { defineOp } from '../../autograd/define-op.js';
import type { Tensor } from '../../tensor.js';
import { linear } from '../linear/index.js';
import { areJoinable, linearJoined } from '../linear/joined.js';
import { swiglu } from './index.js';

/** The gated half of Llama's MLP: `silu(x gateᵀ) · (x upᵀ)`, [..., numIn] to [..., hidden]; weights [hidden, numIn]. */
export function projectedSwiglu({ x, gate, up }: { x: Tensor; gate: Tensor; up: Tensor }): Tensor {
  if (goAsPair(x, gate, up))
    return swigluPairOp({ pair: linearJoined({ x, first: gate, second: up, third: null }) }, {});
  const project = (weight: Tensor) => linear({ x, weight, bias: null });
  return swiglu({ gate: project(gate), up: project(up) });
}

/** A GPU's kernels take rows of whole packs, and two weights that are differentiated alike. */
export function goAsPair({ device }: Tensor, gate: Tensor, up: Tensor): boolean {
  const rowBytes = gate.bytes / gate.dim(1);
  return (
    device.isGpu &&
    device.units === null &&
    rowBytes % 16 === 0 &&
    areJoinable([gate, up]) &&
    gate.dim(0) === up.dim(0)
  );
}

/** Of gate and up side by side in rows: [..., 2 hidden] to [..., hidden]. */
const swigluPairOp = defineOp<{ pair: Tensor }>({
  name: 'swiglu-pair',
  isCheap: true,
  comesWith: 'gradients',
  forward(call, { pair }) {
    const output = call.empty([...pair.shape.slice(0, -1), pair.dim(-1) / 2], pair.dtype);
    call.native.swigluPairForward(call.stream, pair.id, output.id);
    call.device.flops += 5 * output.size;
    return { output, save: { pair } };
  },
  backward(call, saved, dy) {
    const pair = saved.pair!;
    // Nothing else reads the pair, nor will: its gradient takes its place.
    const dpair = pair.isHeldOnce ? pair.view(pair.shape) : call.empty(pair.shape, pair.dtype);
    call.native.swigluPairBackward(call.stream, dy.id, pair.id, dpair.id, call.remade?.id ?? null);
    call.device.flops += 10 * dy.size;
    return { pair: dpair };
  },
});
