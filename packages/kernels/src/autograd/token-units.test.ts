import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Device, openCpuDevice } from '../device.js';
import { add } from '../ops/add/index.js';
import { addAlong, mulAlong } from '../ops/broadcast/index.js';
import { concatLast, splitLast } from '../ops/columns/index.js';
import { linear } from '../ops/linear/index.js';
import { mul, scale } from '../ops/pointwise/index.js';
import { residualNorm } from '../ops/rms-norm/index.js';
import { fromArray, type Tensor } from '../tensor.js';
import { randomNormal } from '../testing/index.js';
import { reshape } from './reshape.js';
import { TokenUnits } from './token-units.js';

const D = 12;
const count = 4;
const unitLength = 7;
const numTokens = count * unitLength;

/** Parameters of which one is read twice, and one only through what is computed from it. */
const shapes = { weight: [D, D], norm: [D], rates: [D], bias: [D] };
type Parameters = Record<keyof typeof shapes, Tensor>;

function open(): { device: Device; parameters: Parameters } {
  const device = openCpuDevice({ poison: true });
  const parameters = Object.entries(shapes).map(([name, shape], i) => {
    const size = shape.reduce((a, b) => a * b, 1);
    const tensor = fromArray(device, randomNormal(size, i), shape);
    tensor.requiresGrad = true;
    tensor.gradient = fromArray(device, new Float32Array(size), shape);
    return [name, tensor];
  });
  return { device, parameters: Object.fromEntries(parameters) as Parameters };
}

/** x [1, T, D] to [1, T, D]. */
function model(x: Tensor, { weight, norm, rates, bias }: Parameters): Tensor {
  const { stream, normed } = residualNorm({ x, branch: null, weight: norm });
  const first = linear({ x: normed, weight, bias });
  // The square is the same for all tokens: what each unit says of it has to stay apart until it reaches `rates`.
  const squared = reshape(mul({ a: rates, b: rates }), [2, D / 2]);
  const heads = mulAlong({ a: reshape(first, [1, -1, 2, D / 2]), b: scale(squared, 0.3) }, -2);
  const [left, right] = splitLast(reshape(heads, [1, -1, D]), [5, D - 5]) as [Tensor, Tensor];
  const again = linear({ x: concatLast([right, left]), weight, bias: null });
  // One output of several, that nothing else reads, and both of them.
  const sum = residualNorm({ x: stream, branch: again, weight: norm }).stream;
  const both = residualNorm({ x: sum, branch: first, weight: norm });
  return addAlong({ a: add({ a: both.stream, b: both.normed }), b: bias }, -1);
}

interface Passed {
  readonly output: Float32Array;
  readonly dx: Float32Array;
  readonly gradients: Readonly<Record<string, Float32Array>>;
}

/** Forward and backward pass over tokens [begin, end). */
async function pass(begin: number, end: number, units: TokenUnits | null): Promise<Passed> {
  const { device, parameters } = open();
  try {
    device.units = units;
    const shape = [1, end - begin, D];
    const rows = (seed: number) => randomNormal(numTokens * D, seed).subarray(begin * D, end * D);
    const x = fromArray(device, rows(10), shape);
    x.requiresGrad = true;
    units?.mark(x);
    const { result, tape } = device.record(() => device.scope(() => model(x, parameters)));
    const [dx] = tape.backward([result], [fromArray(device, rows(11), shape)], [x]);
    const found: [string, Float32Array][] = [];
    for (const [name, { gradient }] of Object.entries(parameters)) {
      found.push([name, (await gradient!.read()) as Float32Array]);
    }
    return {
      output: (await result.read()) as Float32Array,
      dx: (await dx!.read()) as Float32Array,
      gradients: Object.fromEntries(found),
    };
  } finally {
    device.close();
  }
}

function sum(a: Float32Array, b: Float32Array): Float32Array {
  return a.map((value, i) => Math.fround(value + b[i]!));
}

test('units ~> each runs as if it were alone, and gradients of parameters are a balanced tree over them', async () => {
  const whole = await pass(0, numTokens, new TokenUnits(count));
  const alone: Passed[] = [];
  for (let u = 0; u < count; u++) alone.push(await pass(u * unitLength, (u + 1) * unitLength, null));
  for (const name of ['output', 'dx'] as const) {
    assert.equal(
      [...whole[name]],
      alone.flatMap((one) => [...one[name]]),
      name,
    );
  }
  for (const name of Object.keys(shapes)) {
    const [a, b, c, d] = alone.map(({ gradients }) => gradients[name]!) as Float32Array[];
    assert.equal([...whole.gradients[name]!], [...sum(sum(a!, b!), sum(c!, d!))], name);
    assert.not.equal([...whole.gradients[name]!], [...sum(sum(sum(a!, b!), c!), d!)], `${name}: too easy`);
  }
});

test('units ~> rows that are not whole units are refused, by shape', () =>
  pass(0, numTokens - 1, new TokenUnits(count)).then(
    () => assert.unreachable(),
    (error: Error) =>
      assert.is(
        error.message,
        `error[E-SHAPE] deterministic mode: [1, ${numTokens - 1}, ${D}], expected rows of ${count} units of the same length. Fix: give tensors of whole units of tokens`,
      ),
  ));

test.run();
