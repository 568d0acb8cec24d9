import { defineOp } from '../../autograd/define-op.js';
import { expectShape, type Tensor } from '../../tensor.js';
import './native.js';

/** `silu(gate) · up`, same shape: the product inside Llama's MLP. Shazeer, https://arxiv.org/abs/2002.05202. */
export const swiglu: (inputs: { gate: Tensor; up: Tensor }) => Tensor = (inputs) => swigluOp(inputs, {});

const swigluOp = defineOp<{ gate: Tensor; up: Tensor }>({
  name: 'swiglu',
  isCheap: true,
  comesWith: 'gradients',
  forward(call, { gate, up }) {
    expectShape('swiglu', 'up', up, gate.shape);
    const output = call.empty(gate.shape, gate.dtype);
    call.native.swigluForward(call.stream, gate.id, up.id, output.id);
    call.device.flops += 5 * gate.size;
    return { output, save: { gate, up } };
  },
  backward(call, saved, dy) {
    const [gate, up] = [saved.gate!, saved.up!];
    const dgate = call.empty(dy.shape, dy.dtype);
    const dup = call.empty(dy.shape, dy.dtype);
    call.native.swigluBackward(
      ...([call.stream, dy.id, gate.id, up.id, dgate.id, dup.id, call.remade?.id ?? null] as const),
    );
    call.device.flops += 10 * dy.size;
    return { gate: dgate, up: dup };
  },
});
