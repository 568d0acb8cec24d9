import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { runRecurrence } from './autograd/run-recurrence.js';
import { openCpuDevice } from './device.js';
import { vectorScan } from './ops/vector-scan/index.js';
import { restarting } from './restarting.js';
import { fromArray, type Tensor } from './tensor.js';
import { expectClose, randomNormal, randomUniform, tolerances } from './testing/index.js';

const [B, T, C, chunk] = [2, 23, 3, 4];
/** Row 0 is one document that begins two tokens before; row 1 holds documents of 9 and 14 tokens. */
const positions = Int32Array.from({ length: B * T }, (_, i) => {
  const t = i % T;
  return i < T ? t + 2 : t < 9 ? t : t - 9;
});
const x = randomNormal(B * T * C, 1);
const g = randomUniform(B * T * C, 2, -2, -1e-4);
const h0 = randomNormal(B * C, 3);
const restart = restarting(vectorScan, chunk);

test('restarting: the state is forgotten where a chunk of a document begins', async () => {
  const device = openCpuDevice({ poison: true });
  const leaf = (values: Float64Array, shape: readonly number[]): Tensor => {
    const tensor = fromArray(device, values, shape, 'f64');
    tensor.requiresGrad = true;
    tensor.gradient = fromArray(device, new Float64Array(values.length), shape, 'f64');
    return tensor;
  };
  const inputs = { x: leaf(x, [B, T, C]), g: leaf(g, [B, T, C]) };
  const before = leaf(h0, [B, C, 1, 1]);
  const { result, tape } = device.record(() => {
    const all = { ...inputs, positions: fromArray(device, positions, [B, T], 'i32') };
    return runRecurrence(restart, all, { resets: null, h0: before });
  });
  tape.backward([result.output], [fromArray(device, randomNormal(B * T * C, 4), [B, T, C], 'f64')]);
  const [output, dx, dh0] = await Promise.all(
    [result.output, inputs.x.gradient!, before.gradient!].map((tensor) => tensor.readNumbers()),
  );
  device.close();

  const expected = new Float64Array(B * T * C);
  for (let i = 0; i < expected.length; i++) {
    const [token, isFirst] = [Math.floor(i / C), i % (T * C) < C];
    const entering = isFirst ? h0[Math.floor(i / (T * C)) * C + (i % C)]! : expected[i - C]!;
    expected[i] = x[i]! + (positions[token]! % chunk === 0 ? 0 : Math.exp(g[i]!) * entering);
  }
  expectClose('output', output!, expected, tolerances.f64);
  // Row 0 goes on from its state until its third token, row 1 begins a document.
  assert.ok(dh0!.subarray(0, C).every((value) => value !== 0));
  assert.equal([...dh0!.subarray(C)], new Array(C).fill(0));
  assert.ok(dx!.every(Number.isFinite));
});

test('restarting: its definition restarts too', () => {
  const host = {
    x: { values: x, shape: [B, T, C] },
    g: { values: g, shape: [B, T, C] },
    positions: { values: Float64Array.from(positions), shape: [B, T] },
  };
  const resets = Int32Array.from(positions, (position) => Number(position % chunk === 0));
  const { output } = restart.reference(host, null, h0);
  assert.equal(output, vectorScan.reference(host, resets, h0).output);
});

test.run();
