import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { runRecurrence } from '../../autograd/run-recurrence.js';
import { openCpuDevice } from '../../device.js';
import type { HostTensor, RecurrenceOp } from '../../recurrence-op.js';
import { fromArray, zeros } from '../../tensor.js';
import { checkRecurrence, randomNormal, randomUniform, tolerances } from '../../testing/index.js';
import { type MlstmInputs, mlstm } from './index.js';
import { type Case, problem } from './problem.js';

const cases: readonly Case[] = [
  { B: 1, T: 1, H: 1, K: 1, V: 1, i: [-1, 1], f: [-1, 0] },
  { B: 2, T: 63, H: 3, K: 5, V: 19, i: [-2, 1], f: [-0.5, 0], m: [-1, 1] },
  { B: 1, T: 400, H: 2, K: 16, V: 15, i: [-3, 3], f: [-1e-3, -1e-4], m: [2, 4] },
  { B: 1, T: 129, H: 1, K: 33, V: 8, i: [-30, 30], f: [-20, -1e-4], m: [-30, 30] },
  { B: 1, T: 70, H: 1, K: 8, V: 16, i: [-30, -25], f: [-1e-3, 0], m: [-40, -30] },
  { B: 2, T: 150, H: 2, K: 8, V: 16, i: [-1, 1], f: [-1, 0], m: [0, 1], starts: [0, 1, 2, 31, 64, 100, 147] },
  { B: 1, T: 70, H: 1, K: 17, V: 32, i: [-1, 5], f: [-1e-3, 0], starts: [35], lengths: [1, 3, 66] },
];

for (const [seed, shape] of cases.entries()) {
  const check = problem(shape, seed);
  const { inputs, resets, h0 } = check;
  const op = withFixedMaxima(check.op, inputs, resets, h0, shape.K + 1);
  const maxElements = shape.T > 300 ? 6 : 12;
  test(check.name, () => checkRecurrence({ ...check, op, f32Tolerance: tolerances.f32Decay, maxElements }));
}

test('mlstm ~> tokens that write nothing (i = -Infinity) leave an empty state empty, to the bit and backward too', async () => {
  const [B, T, H, K, V] = [1, 20, 2, 3, 4];
  const device = openCpuDevice({ threads: 2, poison: true });
  try {
    const learned = (values: Float64Array, shape: readonly number[]) => {
      const tensor = fromArray(device, values, shape, 'f64');
      tensor.requiresGrad = true;
      tensor.gradient = zeros(device, shape, 'f64');
      return tensor;
    };
    const inputs = {
      q: learned(randomNormal(T * H * K, 1), [B, T, H, K]),
      k: learned(randomNormal(T * H * K, 2), [B, T, H, K]),
      v: learned(randomNormal(T * H * V, 3), [B, T, H, V]),
      i: learned(new Float64Array(T * H).fill(Number.NEGATIVE_INFINITY), [B, T, H]),
      f: learned(randomUniform(T * H, 4, -1, 0), [B, T, H]),
    };
    const { result, tape } = device.record(() => runRecurrence(mlstm(), inputs, { resets: null, h0: null }));
    const { output, finalState } = result;
    const ones = (shape: readonly number[]) =>
      fromArray(device, new Float64Array(shape.reduce((a, b) => a * b, 1)).fill(1), shape, 'f64');
    tape.backward([output, finalState], [ones(output.shape), ones(finalState.shape)]);
    const state = await finalState.readNumbers();
    assert.ok(state.every((value, at) => value === (at % (K + 1) === K ? Number.NEGATIVE_INFINITY : 0)));
    const others = [output, ...Object.values(inputs).map(({ gradient }) => gradient!)];
    for (const tensor of others) assert.ok((await tensor.readNumbers()).every((value) => value === 0));
  } finally {
    device.close();
  }
});

/**
 * The op with a reference in which the maxima of states stay as they are at `inputs` and `h0`: they are no variables of
 * the recurrence, only the scale in which a state's content is written, and the op gives them no gradient.
 */
function withFixedMaxima(
  op: RecurrenceOp<MlstmInputs>,
  inputs: { readonly [K in keyof MlstmInputs]: HostTensor },
  resets: Int32Array | null,
  h0: Float64Array,
  rowLength: number,
): RecurrenceOp<MlstmInputs> {
  const last = rowLength - 1;
  const fixed = op.reference(inputs, resets, h0).finalState;
  return {
    ...op,
    reference(moved, _resets, state) {
      const start = state!.map((value, at) => (at % rowLength === last ? h0[at]! : value));
      const { output, finalState } = op.reference(moved, resets, start);
      return {
        output,
        finalState: finalState.map((value, at) => {
          const m = at - (at % rowLength) + last;
          return at === m ? fixed[m]! : value * Math.exp(finalState[m]! - fixed[m]!);
        }),
      };
    },
  };
}

test.run();
