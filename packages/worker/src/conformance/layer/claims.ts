import {
  applyTransition,
  type Device,
  emptyLike,
  forwardCall,
  fromArray,
  openCpuDevice,
} from '@longscan/kernels';
import { expectClose, randomNormal, tolerances } from '@longscan/kernels/testing';
import { sliceContexts } from '../../model/layer-context.js';
import { type Check, demand } from '../check.js';
import { buildLayer } from './build-layer.js';
import { createProblem } from './problem.js';
import { noting, type RecurrenceCall } from './recurrence-calls.js';
import type { Variant } from './variant.js';

/** Enough tokens for a claim to go wrong, few enough for a dense M to stay of order one. */
const T = 12;

/** What a recurrence claims by its transition: the strategies rely on it. */
export function claimChecks(variant: Variant): Check[] {
  return [
    {
      name: 'what a slice does to a state is what its transition claims',
      run: () => checkClaims(variant),
    },
  ];
}

async function checkClaims(variant: Variant): Promise<void> {
  const { place, B, x } = createProblem(variant, { T });
  const device = openCpuDevice({ poison: true });
  try {
    const { apply } = buildLayer(device, variant, place, 'f64');
    const calls: RecurrenceCall[] = [];
    const context = noting(sliceContexts(null, null).forLayer(place.index), calls);
    apply(fromArray(device, x, [B, T, variant.dModel], 'f64'), context);
    for (const call of calls) await checkCall(device, call);
  } finally {
    device.close();
  }
}

/** The steps go from what every affine class has in common to the claimed M, so that the message names what is wrong. */
async function checkCall(device: Device, { op, inputs }: RecurrenceCall): Promise<void> {
  // Opaque claims nothing; a log-max state is scaled by its own maximum, so it is not affine as it is stored.
  if (op.transition === 'opaque' || op.transition === 'log-max') return;
  const shape = op.stateShape(inputs);
  const size = shape.reduce((product, dim) => product * dim, 1);
  const call = forwardCall(device);
  const upload = (state: Float64Array) => fromArray(device, state, shape, 'f64');
  const run = (state: Float64Array) => op.forward(call, inputs, null, upload(state));
  const after = (state: Float64Array): Promise<Float64Array> => run(state).finalState.readNumbers();
  const claim = `recurrence ${op.name} claims transition '${op.transition}'`;

  const [a, b] = [randomNormal(size, 21), randomNormal(size, 22)];
  const [afterA, afterB] = [await after(a), await after(b)];
  const between = await after(a.map((value, i) => (value + b[i]!) / 2));
  const mean = afterA.map((value, i) => (value + afterB[i]!) / 2);
  expectClose(
    `${claim}, but the state after a slice is not affine in the one before`,
    between,
    mean,
    tolerances.f64,
  );

  if (op.causalOnly === undefined) {
    const outputOf = (state: Float64Array): Promise<Float64Array> => run(state).output.readNumbers();
    const [fromA, fromB] = [await outputOf(a), await outputOf(b)];
    expectClose(
      `recurrence ${op.name} does not say that it is causal only, but its output is not affine in the state before`,
      await outputOf(a.map((value, i) => (value + b[i]!) / 2)),
      fromA.map((value, i) => (value + fromB[i]!) / 2),
      tolerances.f64,
    );
  }

  const N = shape.at(-1)!;
  const firstRow = a.map((value, i) => (i < N ? value + 1 : value));
  const others = (await after(firstRow)).findIndex((value, i) => i >= N && value !== afterA[i]);
  demand(
    others < 0,
    `${claim}, but row 0 of the state changes row ${Math.floor(others / N)}: rows are [R, N], each by itself`,
  );

  const segment = op.summarize(call, inputs, null, op.prepare(call, inputs, null));
  const entering = upload(a);
  const leaving = emptyLike(entering);
  applyTransition(segment, entering, leaving, { begin: 0, end: size / N }, device.compute);
  expectClose(
    `${claim}, but M S + E of that kind is not the state after a slice`,
    await leaving.readNumbers(),
    afterA,
    tolerances.f64,
  );
}
