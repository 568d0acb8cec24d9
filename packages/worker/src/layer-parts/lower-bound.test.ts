import { fromArray, openCpuDevice, type Tensor } from '@longscan/kernels';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Init, ParameterDeclarer } from '../layer.js';
import { lowerBoundedGate } from './lower-bound.js';

const logits = [-30, -3, -0.5, 0, 0.5, 3, 30];

/** The gate of one layer of several: log a and 1 - a for the logits, and what its parameter starts as. */
async function gateAt(index: number, count: number) {
  const device = openCpuDevice({ poison: true });
  try {
    let start = Number.NaN;
    const declare = (_name: string, shape: readonly number[], init: Init): Tensor => {
      start = (init as { constant: number }).constant;
      return fromArray(device, new Array<number>(shape[0]!).fill(start), shape, 'f64');
    };
    const param = { layer: { index, count }, tensor: declare } as unknown as ParameterDeclarer;
    const gate = lowerBoundedGate(param, 1)(fromArray(device, logits, [1, logits.length, 1], 'f64'));
    return { start, log: await gate.log.readNumbers(), complement: await gate.complement.readNumbers() };
  } finally {
    device.close();
  }
}

for (const [index, count] of [
  [0, 1],
  [0, 12],
  [5, 12],
  [11, 12],
] as const) {
  test(`lower bound ~> layer ${index} of ${count}: a = γ + (1 - γ) σ(x)`, async () => {
    const { start, log, complement } = await gateAt(index, count);
    const bound = 1 / (1 + Math.exp(-start));
    assert.ok(Math.abs(bound - index / count) <= 0.011, `γ starts as ${bound}`);
    logits.forEach((x, i) => {
      const missing = (1 - bound) / (1 + Math.exp(x)); // 1 - a
      const relative = (found: number, expected: number) => Math.abs(found / expected - 1);
      assert.ok(relative(complement[i]!, missing) < 1e-12, `1 - a at ${x}: ${complement[i]}, not ${missing}`);
      const expected = Math.log1p(-missing);
      assert.ok(relative(log[i]!, expected) < 1e-12, `log a at ${x}: ${log[i]}, not ${expected}`);
    });
  });
}

test.run();
