import type { ForwardCall } from '../../autograd/define-op.js';
import type { Tensor } from '../../tensor.js';
import { fill } from '../pointwise/index.js';
import { perHead } from './groups.js';
import './native.js';
import type { UnorderedParts } from './unordered-parts.js';

/** The numbers of `Decay::identity` and of `Axis` in gated_linear.h. */
const identity = 0;
const axisCodes = { key: 0, value: 1 } as const;

/** By the kernels of the recurrence: what a slice hands on, and what an incoming state contributes. */
export const unorderedOnCpu: UnorderedParts = {
  // The sum that `gatedLinearAdjoint` takes of queries and output gradients.
  outerSum(call, k, v, factor) {
    const [B, , H, V] = v.shape as [number, number, number, number];
    const sum = call.empty([B, H, V, k.dim(3)], v.dtype);
    call.native.gatedLinearAdjoint(...common(call, factor, k, v), k.id, v.id, sum.id);
    return sum;
  },

  readByKeys(call, q, state, factor) {
    const output = call.empty([q.dim(0), q.dim(1), state.dim(1), state.dim(2)], q.dtype);
    correct(call, common(call, factor, q, output), { axis: 'key', reader: q, state, output });
    return output;
  },

  readByValues(call, v, k, state, factor) {
    const output = call.empty(perHead(k, v.dim(2)), v.dtype);
    correct(call, common(call, factor, k, v), { axis: 'value', reader: v, state, output });
    return output;
  },
};

interface Read {
  readonly axis: keyof typeof axisCodes;
  readonly reader: Tensor;
  readonly state: Tensor;
  readonly output: Tensor;
}

/** What an incoming state contributes is all that there is to read where nothing is written. */
function correct(call: ForwardCall, slice: ReturnType<typeof common>, read: Read): void {
  const { axis, reader, state, output } = read;
  fill(output, 0);
  call.native.gatedLinearCorrect(...slice, axisCodes[axis], reader.id, state.id, output.id);
}

/** What every native call begins with: no gate, no bonus, no documents. */
function common(call: ForwardCall, factor: number, k: Tensor, v: Tensor) {
  return [call.stream, identity, factor, k.id, v.id, null, null, null] as const;
}
