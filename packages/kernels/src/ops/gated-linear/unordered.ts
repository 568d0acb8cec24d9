import { defineOp, type ForwardCall } from '../../autograd/define-op.js';
import { expectShape, type Tensor } from '../../tensor.js';
import { sumOfGroup } from './groups.js';
import { unorderedOnCpu } from './unordered-cpu.js';
import { unorderedOnGpu } from './unordered-cuda.js';
import type { UnorderedParts } from './unordered-parts.js';

/** Keys [B, T, G, K] and values [B, T, H, V], G groups of H / G heads in succession. */
type WriteInputs = { readonly k: Tensor; readonly v: Tensor };

/** Queries [B, T, G, K] and a state [B, H, V, K]. */
type ReadInputs = { readonly q: Tensor; readonly state: Tensor };

/** All that the tokens of a slice write, whatever their order: Σ_t v_t k_tᵀ as a state [B, H, V, K], on GPUs in f32. */
export const writtenByAll: (inputs: WriteInputs) => Tensor = (inputs) => writeOp(inputs, {});

/** `factor · S q_t` for every token, [B, T, H, V]. */
export function readByAll(inputs: ReadInputs, factor: number): Tensor {
  return readOp(inputs, { factor });
}

const partsOf = ({ device }: ForwardCall): UnorderedParts =>
  device.kind === 'cuda' ? unorderedOnGpu : unorderedOnCpu;

const writeOp = defineOp<WriteInputs>({
  name: 'linear-write',
  forward(call, { k, v }) {
    expectShape('linear-write', 'k', k, [v.dim(0), v.dim(1), -1, -1]);
    call.device.flops += 2 * v.size * k.dim(3);
    return { output: partsOf(call).outerSum(call, k, v, 1), save: { k, v } };
  },
  backward(call, saved, dState) {
    const [k, v] = [saved.k!, saved.v!];
    const { readByKeys, readByValues } = partsOf(call);
    const each = 2 * v.size * k.dim(3);
    call.device.flops += (Number(call.needs.k) + Number(call.needs.v)) * each;
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
    const output = partsOf(call).readByKeys(call, q, state, factor);
    call.device.flops += 2 * output.size * q.dim(3);
    return { output, save: { q, state } };
  },
  backward(call, saved, dO, { factor }) {
    const [q, state] = [saved.q!, saved.state!];
    const { outerSum, readByValues } = partsOf(call);
    const each = 2 * dO.size * q.dim(3);
    call.device.flops += (Number(call.needs.q) + Number(call.needs.state)) * each;
    return {
      q: call.needs.q ? sumOfGroup(call, readByValues(call, dO, q, state, factor), q) : null,
      state: call.needs.state ? outerSum(call, q, dO, factor) : null,
    };
  },
});
