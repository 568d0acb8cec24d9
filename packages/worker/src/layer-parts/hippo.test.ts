import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { legsSkew, spectrum } from './hippo.js';

const close = (found: number, expected: number) =>
  assert.ok(Math.abs(found - expected) <= 1e-10 * Math.abs(expected), `${found}, not ${expected}`);

test('hippo ~> one pair of HiPPO-LegS is known in closed form', () => {
  assert.is(spectrum('legs', 1).length, 1);
  close(spectrum('legs', 1)[0]!, Math.sqrt(3) / 2);
});

for (const numModes of [2, 7, 32]) {
  test(`hippo ~> ${numModes} pairs have the traces of the matrix's powers, and its determinant`, () => {
    const frequencies = spectrum('legs', numModes);
    const a = legsSkew(2 * numModes);
    const squared = a.map((row) =>
      Float64Array.from(row, (_, j) => row.reduce((sum, value, k) => sum + value * a[k]![j]!, 0)),
    );
    const norm = (matrix: readonly Float64Array[]) =>
      matrix.reduce((sum, row) => sum + Math.hypot(...row) ** 2, 0);
    const power = (p: number) => frequencies.reduce((sum, frequency) => sum + 2 * frequency ** p, 0);
    close(power(2), norm(a));
    close(power(4), norm(squared));
    assert.equal(
      frequencies,
      [...frequencies].sort((p, q) => p - q),
    );
    // A is D J D with D diagonal and J the signs, whose determinant is 1.
    const logProduct = frequencies.reduce((sum, frequency) => sum + 2 * Math.log(frequency), 0);
    const logDeterminant = a.reduce((sum, _, n) => sum + Math.log(n + 0.5), 0);
    assert.ok(Math.abs(logProduct - logDeterminant) < 1e-9, `${logProduct}, not ${logDeterminant}`);
  });
}

test('hippo ~> S4D-Lin', () => assert.equal(spectrum('lin', 3), [0, Math.PI, 2 * Math.PI]));

test.run();
