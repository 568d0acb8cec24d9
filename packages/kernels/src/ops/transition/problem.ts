import type { Device } from '../../device.js';
import type { TransitionKind } from '../../recurrence-op.js';
import { type DType, fromArray } from '../../tensor.js';
import { expectClose, randomNormal } from '../../testing/index.js';
import { applyTransition, composeTransitions } from './index.js';
import { type TransitionCase, transitionReference } from './reference.js';

// What the tests of this op, on CPU and GPU, are made of.

export type Shape = readonly [number, number, number, number];

export const shapes: readonly Shape[] = [
  [1, 1, 1, 2],
  [2, 3, 5, 8],
  [1, 2, 64, 34],
];
export const kinds = [
  'identity',
  'fixed-scalar',
  'scalar',
  'diagonal',
  'exp-diagonal',
  'fixed-complex',
  'dense',
  'log-max',
] as const satisfies readonly TransitionKind[];

function factorShape(kind: TransitionKind, [B, H, , N]: Shape): number[] | null {
  if (kind === 'identity') return null;
  if (kind === 'diagonal' || kind === 'fixed-complex') return [B, H, N];
  return kind === 'dense' ? [B, H, N, N] : [B, H];
}

const product = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

function segmentCase(
  kind: (typeof kinds)[number],
  shape: Shape,
  isReset: boolean,
  transposed: boolean,
): TransitionCase {
  const [B, H, , N] = shape;
  const factor = factorShape(kind, shape);
  return {
    kind,
    transposed,
    factor: factor && randomNormal(product(factor), 1),
    rates: kind === 'exp-diagonal' ? randomNormal(H * N, 4) : null,
    reset: isReset ? Float64Array.from({ length: B }, (_, b) => (b + 1) % 2) : null,
  };
}

/**
 * Applies a segment in place, in two blocks of rows, without a reset and with one, behind which the state is NaN. All
 * tensors begin `offset` elements into their memory, as segments in a message do.
 */
export async function checkApply(
  device: Device,
  kind: (typeof kinds)[number],
  shape: Shape,
  transposed: boolean,
  dtype: DType,
  tolerance: number,
  offset = 0,
): Promise<void> {
  const [B, H, R, N] = shape;
  const size = product(shape);
  for (const isReset of [false, true]) {
    const m = segmentCase(kind, shape, isReset, transposed);
    const [E, S] = [randomNormal(size, 2), randomNormal(size, 3)];
    if (isReset) for (let i = 0; i < size; i++) if (m.reset![Math.floor(i / (H * R * N))]) S[i] = Number.NaN;
    const upload = (values: Float64Array | null, dims: readonly number[] | null) => {
      if (values === null) return null;
      const memory = new Float64Array(offset + values.length).fill(Number.NaN);
      memory.set(values, offset);
      return fromArray(device, memory, [memory.length], dtype).view(dims!, offset);
    };
    const segment = {
      kind,
      transposed,
      state: upload(E, shape)!,
      factor: upload(m.factor, factorShape(kind, shape)),
      rates: upload(m.rates, [H, N]),
      reset: upload(m.reset, [B]),
    };
    const state = upload(S, shape)!;
    const cut = Math.floor((B * H * R) / 3);
    applyTransition(segment, state, state, { begin: 0, end: cut }, device.compute);
    applyTransition(segment, state, state, { begin: cut, end: B * H * R }, device.compute);
    const expected = transitionReference([B, H, R, N], m, E, S);
    const at = `${kind}${transposed ? ' transposed' : ''} on [${shape}], ${dtype}${isReset ? ', reset' : ''}`;
    expectClose(at, await state.readNumbers(), expected, tolerance);
  }
}

/** Two segments composed do to a state what they do one after the other, with a document start in neither, one or both. */
export async function checkCompose(
  device: Device,
  kind: (typeof kinds)[number],
  transposed: boolean,
): Promise<void> {
  const shape: Shape = [4, 2, 3, 4];
  const [B, H, , N] = shape;
  const factor = factorShape(kind, shape);
  const upload = (values: Float64Array | null, dims: readonly number[] | null) =>
    values && fromArray(device, values, dims!, 'f64');
  const runs = [
    [0, 1, 0, 1],
    [0, 0, 1, 1],
  ].map((starts, i) => {
    const m: TransitionCase = {
      ...segmentCase(kind, shape, false, transposed),
      factor: factor && randomNormal(product(factor), 10 + i),
      reset: Float64Array.from(starts),
    };
    const E = randomNormal(product(shape), 20 + i);
    const parts = {
      factor: upload(m.factor, factor),
      rates: upload(m.rates, [H, N]),
      reset: upload(m.reset, [B]),
    };
    return { m, E, segment: { kind, transposed, state: upload(E, shape)!, ...parts } };
  });
  const [earlier, later] = runs as [(typeof runs)[number], (typeof runs)[number]];
  const S = randomNormal(product(shape), 30);
  const state = upload(S, shape)!;
  const composed = composeTransitions(earlier.segment, later.segment, device.compute);
  applyTransition(composed, state, state, { begin: 0, end: product(shape) / N }, device.compute);
  const between = transitionReference(shape, earlier.m, earlier.E, S);
  const expected = transitionReference(shape, later.m, later.E, between);
  expectClose(
    `${kind}${transposed ? ' transposed' : ''}, composed`,
    await state.readNumbers(),
    expected,
    1e-13,
  );
}

/** Two rows of log-max, or one and an empty one. */
export async function addLogMaxRows(
  device: Device,
  E: readonly number[],
  S: readonly number[],
): Promise<number[]> {
  const tensor = (values: readonly number[], shape: number[]) => fromArray(device, values, shape);
  const state = tensor(S, [1, 1, 1, 3]);
  const segment = {
    kind: 'log-max',
    state: tensor(E, [1, 1, 1, 3]),
    factor: tensor([-1], [1, 1]),
    reset: null,
  } as const;
  applyTransition(segment, state, state, { begin: 0, end: 1 }, device.compute);
  return [...(await state.readNumbers())];
}
