import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openCpuDevice } from '../../device.js';
import type { TransitionKind } from '../../recurrence-op.js';
import { fromArray } from '../../tensor.js';
import { expectClose, randomNormal, tolerances } from '../../testing/index.js';
import { applyTransition, transitionWireElements } from './index.js';
import { type TransitionCase, transitionReference } from './reference.js';

type Shape = readonly [number, number, number, number];

const shapes: readonly Shape[] = [
  [1, 1, 1, 2],
  [2, 3, 5, 8],
  [1, 2, 64, 34],
];
const kinds = [
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

for (const shape of shapes) {
  for (const kind of kinds) {
    for (const transposed of kind === 'log-max' ? [false] : [false, true]) {
      const name = `${kind}${transposed ? ' transposed' : ''} on [${shape}]`;
      test(`transition ~> ${name}, NaN behind a reset, in place, by blocks, every level`, async () => {
        const [B, H, R, N] = shape;
        const size = product(shape);
        const device = openCpuDevice({ poison: true });
        const best = device.native.cpuInfo().level;
        for (let level = best; level >= 0; level--) {
          device.native.cpuLimit(level);
          for (const isReset of [false, true]) {
            const m = segmentCase(kind, shape, isReset, transposed);
            const [E, S] = [randomNormal(size, 2), randomNormal(size, 3)];
            if (isReset)
              for (let i = 0; i < size; i++) if (m.reset![Math.floor(i / (H * R * N))]) S[i] = Number.NaN;
            for (const [dtype, tolerance] of [
              ['f64', 1e-14],
              ['f32', tolerances.f32],
            ] as const) {
              const upload = (values: Float64Array | null, dims: readonly number[] | null) =>
                values && fromArray(device, values, dims!, dtype);
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
              expectClose(`${dtype} at level ${level}`, await state.readNumbers(), expected, tolerance);
            }
          }
        }
        device.native.cpuLimit(best);
        device.close();
      });
    }
  }
}

test('transition ~> log-max: empty rows stay empty, and take no part in a sum', async () => {
  const device = openCpuDevice({ poison: true });
  const empty = [0, 0, Number.NEGATIVE_INFINITY];
  const full = [2, -3, 700];
  const apply = async (E: number[], S: number[]) => {
    const tensor = (values: number[], shape: number[]) => fromArray(device, values, shape);
    const state = tensor(S, [1, 1, 1, 3]);
    const segment = {
      kind: 'log-max',
      state: tensor(E, [1, 1, 1, 3]),
      factor: tensor([-1], [1, 1]),
      reset: null,
    } as const;
    applyTransition(segment, state, state, { begin: 0, end: 1 }, device.compute);
    return [...(await state.readNumbers())];
  };
  assert.equal(await apply(empty, empty), empty);
  assert.equal(await apply(full, empty), full);
  assert.equal(await apply(empty, full), [2, -3, 699]);
  device.close();
});

test('transition ~> an opaque segment is refused', () => {
  const device = openCpuDevice();
  const state = fromArray(device, [0], [1, 1, 1, 1]);
  assert.throws(
    () =>
      applyTransition(
        { kind: 'opaque', state, factor: null, reset: null },
        state,
        state,
        { begin: 0, end: 1 },
        device.compute,
      ),
    /error\[E-STRATEGY\]/,
  );
  assert.is(transitionWireElements('dense', 8), 64);
  device.close();
});

test.run();
