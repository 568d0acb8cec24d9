import {
  type Device,
  fromArray,
  openCpuDevice,
  reshape,
  runRecurrence,
  type Tensor,
  where,
} from '@longscan/kernels';
import { expectClose, randomNormal, tolerances } from '@longscan/kernels/testing';
import { test } from 'uvu';
import type { ParameterDeclarer } from '../layer.js';
import { type MemoryKindName, memoryKind, memoryKinds } from './memory-kinds.js';

const [T, D, H, K, V] = [70, 6, 2, 3, 4];
const goes = Array.from({ length: T }, (_, t) => (t * 7) % 5 < 2);

/** Parameters of a layer that stands alone: normal numbers, the same on every call. */
function declarer(device: Device): ParameterDeclarer {
  let seed = 10;
  const tensor = (_name: string, shape: readonly number[]): Tensor => {
    const size = shape.reduce((product, dim) => product * dim, 1);
    return fromArray(device, randomNormal(size, seed++), shape, 'f64');
  };
  const projection = (name: string, out: number, input: number) => tensor(name, [out, input]);
  return { dModel: D, tensor, projection } as unknown as ParameterDeclarer;
}

/** The output [tokens, H·V] and the last state of one memory, given the tokens that `keeps` lets through. */
async function remember(name: MemoryKindName, keeps: (t: number) => boolean) {
  const device = openCpuDevice({ poison: true });
  try {
    const tokens = Array.from({ length: T }, (_, t) => t).filter(keeps);
    const input = (width: number, seed: number, shape: readonly number[]): Tensor => {
      const values = randomNormal(T * width, seed);
      const rows = tokens.flatMap((t) => [...values.subarray(t * width, (t + 1) * width)]);
      return fromArray(device, rows, [1, tokens.length, ...shape], 'f64');
    };
    const flags = tokens.map((t) => (goes[t] ? 1 : 0));
    const condition = fromArray(device, flags, [1, tokens.length], 'i32');
    const only = (y: Tensor) => reshape(where({ condition, a: y, b: null }), y.shape);
    const { op, normalize, gates } = memoryKind(name, declarer(device), { N: 1, H, K });
    const inputs = {
      q: normalize(input(H * K, 1, [H, K])),
      k: only(normalize(input(H * K, 2, [H, K]))),
      v: input(H * V, 3, [H, V]),
      ...gates(input(D, 4, [D]), only),
    };
    const { output, finalState } = runRecurrence(op, inputs, { resets: null, h0: null });
    const rows = await output.readNumbers();
    const answers = tokens.flatMap((t, i) => (goes[t] ? [...rows.subarray(i * H * V, (i + 1) * H * V)] : []));
    return { answers: Float64Array.from(answers), state: await finalState.readNumbers() };
  } finally {
    device.close();
  }
}

for (const name of memoryKinds) {
  test(`${name} ~> a token that does not go to a memory leaves no trace in it`, async () => {
    const all = await remember(name, () => true);
    const alone = await remember(name, (t) => goes[t]!);
    expectClose('answers', all.answers, alone.answers, tolerances.f64);
    expectClose('state', all.state, alone.state, tolerances.f64);
  });
}

test.run();
