import {
  fromArray,
  gatedLinear,
  openCpuDevice,
  type RecurrenceInputs,
  reshape,
  runRecurrence,
  type Tensor,
  zeros,
} from '@longscan/kernels';
import {
  bidirectionalReference,
  checkRecurrence,
  documentStarts,
  expectClose,
  type RecurrenceInput,
  randomNormal,
  randomUniform,
  tolerances,
} from '@longscan/kernels/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { bidirectionalRecurrence } from '../sequence/bidirectional.js';
import { stepwise } from '../stepwise.js';
import type { StepDefinition } from './step-definition.js';
import { additive, decayed, delta, gated, type KeyValueInputs, squashed } from './testing/definitions.js';

/** Two pieces and a bit of a backward pass; more columns than rows, and the other way round. */
const sizes = [
  { B: 2, T: 37, H: 2, R: 3, N: 5, starts: [0, 4, 5] },
  { B: 1, T: 9, H: 1, R: 6, N: 4, starts: undefined },
] as const;
type Sizes = (typeof sizes)[number];

function inputsOf({ B, T, H, R, N }: Sizes, gate: 'none' | 'head' | 'column', lowest: number) {
  const token = (width: number, seed: number, scale = 1): RecurrenceInput => ({
    ...{ role: 'token', shape: [B, T, H, width], values: randomNormal(B * T * H * width, seed, scale) },
  });
  const inputs: Record<string, RecurrenceInput> = {
    q: token(N, 1),
    // Short keys: products of I - k kᵀ stay bounded.
    k: token(N, 2, 1 / N),
    v: token(R, 3),
  };
  const shape: number[] = gate === 'head' ? [B, T, H] : [B, T, H, N];
  const numGates = shape.reduce((product, dim) => product * dim, 1);
  if (gate !== 'none') inputs.g = { role: 'token', shape, values: randomUniform(numGates, 4, lowest, -1e-4) };
  return inputs;
}

async function check(
  definition: StepDefinition<RecurrenceInputs>,
  size: Sizes,
  gate: 'none' | 'head' | 'column',
  lowest: number,
): Promise<void> {
  const { B, T, starts } = size;
  await checkRecurrence<RecurrenceInputs>({
    name: `stepwise ${definition.name}, T = ${T}, starts ${starts}`,
    op: stepwise(definition),
    inputs: inputsOf(size, gate, lowest),
    resets: documentStarts(B, T, starts),
    maxElements: 4,
    f32Tolerance: tolerances.f32Decay,
  });
}

for (const size of sizes) {
  const label = `T = ${size.T}, ${size.R} rows of ${size.N}`;
  const general = (definition: unknown) => definition as StepDefinition<RecurrenceInputs>;
  test(`stepwise ~> identity, ${label}`, () => check(general(additive), size, 'none', 0));
  test(`stepwise ~> dense, ${label}`, () => check(general(delta), size, 'none', 0));
  for (const lowest of [-20, -0.1]) {
    test(`stepwise ~> scalar, ${label}, gates from ${lowest}`, () =>
      check(general(decayed), size, 'head', lowest));
    test(`stepwise ~> diagonal, ${label}, gates from ${lowest}`, () =>
      check(general(gated), size, 'column', lowest));
  }
}

test('stepwise ~> the definitions of kernels agree with the same recurrence token by token', () => {
  const inputs = inputsOf(sizes[0], 'column', -3);
  const resets = documentStarts(2, 37, [7]);
  const h0 = randomNormal(2 * 2 * 3 * 5, 9);
  const kernel = gatedLinear('diagonal', { scale: 1 }).reference(inputs as never, resets, h0);
  const stepped = stepwise(gated).reference(inputs as never, resets, h0);
  expectClose('output', stepped.output, kernel.output, tolerances.f64);
  expectClose('state', stepped.finalState, kernel.finalState, tolerances.f64);
});

test('stepwise ~> in both directions, where a step says that its output is affine', async () => {
  const { B, T } = sizes[0];
  const device = openCpuDevice({ poison: true });
  const host = inputsOf(sizes[0], 'none', 0);
  const upload = ({ values, shape }: RecurrenceInput) => fromArray(device, values, shape, 'f64');
  const { q, k, v } = host as Record<'q' | 'k' | 'v', RecurrenceInput>;
  const op = stepwise({ ...delta, affineOutput: true });
  assert.is(op.causalOnly, undefined);
  assert.match(stepwise(delta).causalOnly!, /not said to be affine/);
  const found = bidirectionalRecurrence(
    op,
    { q: upload(q), k: upload(k), v: upload(v) },
    {
      ...{ group: null, boundaries: null },
      everyToken: fromArray(device, new Int32Array(B * T).fill(1), [B, T], 'i32'),
    },
  );
  const expected = bidirectionalReference(op as never, host, null, [B, T]);
  expectClose('output', await found.readNumbers(), expected, tolerances.f64);
  device.close();
});

test('stepwise ~> a step that returns another state, and inputs that do not fit together, are named', () => {
  const device = openCpuDevice();
  const tensor = (...shape: number[]) => zeros(device, shape);
  const [q, k, v] = [tensor(1, 3, 2, 4), tensor(1, 3, 2, 4), tensor(1, 3, 2, 5)];
  const run = (definition: typeof additive, inputs: KeyValueInputs) =>
    runRecurrence(stepwise(definition), inputs, { resets: null, h0: null });
  const flat = { ...additive, step: (S: Tensor) => ({ state: reshape(S, [1, 2, 20]), output: S }) };
  assert.throws(
    () => run(flat, { q, k, v }),
    /E-SHAPE\] recurrence additive, step: the next state has shape \[1, 2, 20\], expected \[1, 2, 5, 4\]/,
  );
  assert.throws(
    () => run(additive, { q, k, v: tensor(1, 4, 2, 5) }),
    /E-SHAPE\] recurrence additive: input v of shape \[1, 4, 2, 5\], expected \[1, 3, 2, …\]/,
  );
  device.close();
});

test('stepwise ~> opaque: whole, with an incoming state', () =>
  checkRecurrence<RecurrenceInputs>({
    name: 'stepwise squashed',
    op: stepwise(squashed as unknown as StepDefinition<RecurrenceInputs>),
    inputs: inputsOf(sizes[0], 'none', 0),
    resets: documentStarts(2, 37, [4]),
    lengths: [37],
    maxElements: 4,
  }));

test.run();
