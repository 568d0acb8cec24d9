import { defineOp } from '../../autograd/define-op.js';
import { expectShape, type Tensor } from '../../tensor.js';
import { type KnownOutput, linear, linearOutput } from '../linear/index.js';
import { joinedGradients } from '../linear/joined.js';
import { goAsPair, projectedSwiglu } from './projected.js';

interface GatedMlpInputs extends Record<string, Tensor | null> {
  /** [..., numIn] */
  readonly x: Tensor;
  /** [hidden, numIn] */
  readonly gate: Tensor;
  /** [hidden, numIn] */
  readonly up: Tensor;
  /** [numOut, hidden] */
  readonly down: Tensor;
}

/**
 * Llama's MLP: `(silu(x gateᵀ) · (x upᵀ)) downᵀ`, [..., numIn] to [..., numOut]. Shazeer, https://arxiv.org/abs/2002.05202.
 * On Hopper, in bf16, what SwiGLU does element by element is done where the products with gate, up and down leave their
 * numbers, forward and backward: it reads and writes nothing of its own.
 * `known`: what it gives, from a run on the same numbers: it becomes the output, and the product with down is not run again.
 */
export function gatedMlp(inputs: GatedMlpInputs, known: Tensor | null = null): Tensor {
  if (goesAsOne(inputs)) return gatedMlpOp(inputs, { known });
  return linear({ x: projectedSwiglu(inputs), weight: inputs.down, bias: null }, known);
}

function goesAsOne({ x, gate, up, down }: GatedMlpInputs): boolean {
  const { device } = x;
  if (!goAsPair(x, gate, up) || x.dtype !== 'bf16') return false;
  // A device of shapes stands for a GPU that it does not know: for Hopper.
  if (device.kind === 'shape') return true;
  return device.native.linearSwigluFits(device.compute.id, x.id, gate.id, up.id, down.id);
}

const gatedMlpOp = defineOp<GatedMlpInputs, KnownOutput>({
  name: 'gated-mlp',
  late: ['x'],
  forward(call, { x, gate, up, down }, { known }) {
    const [rows, hidden] = [x.shape.slice(0, -1), gate.dim(0)];
    expectShape('gated-mlp', 'gate', gate, [-1, x.dim(-1)]);
    expectShape('gated-mlp', 'down', down, [-1, hidden]);
    // Without a backward pass nobody reads it.
    const pair = call.device.tape && call.empty([...rows, 2 * hidden], x.dtype);
    const product = call.empty([...rows, hidden], x.dtype);
    call.native.linearSwigluForward(call.stream, x.id, gate.id, up.id, pair?.id ?? null, product.id);
    call.device.flops += 2 * x.size * 2 * hidden + 5 * product.size;
    const output = linearOutput(call, { x: product, weight: down, bias: null }, known);
    // The backward rule can write the product again beside the gradients.
    const kept = call.keepsCheap ? product : null;
    return { output, save: { x, gate, up, down, pair, product: kept } };
  },
  backward(call, saved, dy) {
    const { native, stream } = call;
    const [x, gate, up, down, pair] = [saved.x!, saved.gate!, saved.up!, saved.down!, saved.pair!];
    const kept = saved.product ?? null;
    const remade =
      kept === null && call.needs.down ? call.empty([...dy.shape.slice(0, -1), down.dim(1)], dy.dtype) : null;
    // Nothing else reads the pair, nor will: its gradient takes its place.
    const dpair = pair.isHeldOnce ? pair.view(pair.shape) : call.empty(pair.shape, pair.dtype);
    native.linearSwigluBackward(stream, dy.id, down.id, pair.id, dpair.id, remade?.id ?? null);
    call.device.flops += 2 * dy.size * down.dim(1) + 5 * pair.size;
    let ddown: Tensor | null = null;
    const product = kept ?? remade;
    if (call.needs.down && product !== null) {
      ddown = call.weightGradient(down, [dy, product], (target, accumulate) => {
        native.linearWeightGradient(stream, dy.id, product.id, target.id, accumulate);
      });
      call.device.flops += 2 * dy.size * down.dim(1);
    }
    const joined = joinedGradients(call, { x, weights: [gate, up, null], dy: dpair });
    const [dgate, dup] = joined.weights;
    return { x: joined.x, gate: dgate, up: dup, down: ddown };
  },
});
