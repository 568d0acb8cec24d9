import { defineOp, type ForwardCall } from '../../autograd/define-op.js';
import { expectShape, type Tensor } from '../../tensor.js';
import { fill } from '../pointwise/index.js';
import { perHead, sumOfGroup } from './groups.js';
import './native.js';

/** The numbers of `Decay::identity` and of `Axis` in gated_linear.h. */
const identity = 0;
const axisCodes = { key: 0, value: 1 } as const;

/** Keys [B, T, G, K] and values [B, T, H, V], G groups of H / G heads in succession. */
type WriteInputs = { readonly k: Tensor; readonly v: Tensor };

/** Queries [B, T, G, K] and a state [B, H, V, K]. */
type ReadInputs = { readonly q: Tensor; readonly state: Tensor };

/** All that the tokens of a slice write, whatever their order: Σ_t k_t v_tᵀ as a state [B, H, V, K]. */
export const writtenByAll: (inputs: WriteInputs) => Tensor = (inputs) => writeOp(inputs, {});

/** `factor · Sᵀ q_t` for every token, [B, T, H, V]. */
export function readByAll(inputs: ReadInputs, factor: number): Tensor {
  return readOp(inputs, { factor });
}

const writeOp = defineOp<WriteInputs>({
  name: 'linear-write',
  forward(call, { k, v }) {
    expectShape('linear-write', 'k', k, [v.dim(0), v.dim(1), -1, -1]);
    return { output: outerSum(call, k, v, 1), save: { k, v } };
  },
  backward(call, saved, dState) {
    const [k, v] = [saved.k!, saved.v!];
    return {
      k: call.needs.k ? sumOfGroup(call, readByValues(call, v, k, dState, 1), k) : null,
      v: call.needs.v ? readByKeys(call, k, dState, 1) : null,
    };
  },
});

const readOp = defineOp<ReadInputs, { factor: number }>({
  name: 'linear-read',
  forward(call, { q, state }, { factor }) {
    expectShape('linear-read', 'state', state, [q.dim(0), -1, -1, q.dim(3)]);
    return { output: readByKeys(call, q, state, factor), save: { q, state } };
  },
  backward(call, saved, dO, { factor }) {
    const [q, state] = [saved.q!, saved.state!];
    return {
      q: call.needs.q ? sumOfGroup(call, readByValues(call, dO, q, state, factor), q) : null,
      state: call.needs.state ? outerSum(call, q, dO, factor) : null,
    };
  },
});

/** `factor · Σ_t k_t v_tᵀ`, [B, H, V, K]: the sum that `gatedLinearAdjoint` takes of queries and output gradients. */
function outerSum(call: ForwardCall, k: Tensor, v: Tensor, factor: number): Tensor {
  const [B, , H, V] = v.shape as [number, number, number, number];
  const sum = call.empty([B, H, V, k.dim(3)], v.dtype);
  call.native.gatedLinearAdjoint(...common(call, factor, k, v), k.id, v.id, sum.id);
  call.device.flops += 2 * v.size * k.dim(3);
  return sum;
}

/** `factor · Sᵀ q_t`, [B, T, H, V]. */
function readByKeys(call: ForwardCall, q: Tensor, state: Tensor, factor: number): Tensor {
  const output = call.empty([q.dim(0), q.dim(1), state.dim(1), state.dim(2)], q.dtype);
  correct(call, common(call, factor, q, output), { axis: 'key', reader: q, state, output });
  return output;
}

/** `factor · S v_t`, [B, T, H, K]; `k`: any tensor [B, T, G, K]. */
function readByValues(call: ForwardCall, v: Tensor, k: Tensor, state: Tensor, factor: number): Tensor {
  const output = call.empty(perHead(k, v.dim(2)), v.dtype);
  correct(call, common(call, factor, k, v), { axis: 'value', reader: v, state, output });
  return output;
}

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
  call.device.flops += 2 * (output.size / output.dim(3)) * state.dim(2) * state.dim(3);
}

/** What every native call begins with: no gate, no bonus, no documents. */
function common(call: ForwardCall, factor: number, k: Tensor, v: Tensor) {
  return [call.stream, identity, factor, k.id, v.id, null, null, null] as const;
}
