import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { perturbedElements } from './perturbed-elements.js';

test('perturbed elements ~> as many as are wanted, or all; none twice', () => {
  for (const size of [0, 1, 2, 5, 12, 13, 47, 256, 1008, 4096]) {
    const found = perturbedElements(size, 12);
    assert.is(new Set(found).size, found.length);
    assert.ok(found.length >= Math.min(size, 12) && found.length <= Math.min(size, 23), `${size}: ${found}`);
    assert.ok(found.every((index) => Number.isInteger(index) && index >= 0 && index < size));
  }
});

test('perturbed elements ~> where even steps would meet one column, nearly all columns of a row', () => {
  for (const [rows, columns] of [
    [256, 16],
    [126, 8],
    [64, 64],
  ] as const) {
    const found = perturbedElements(rows * columns, 16);
    const met = new Set(found.map((index) => index % columns));
    assert.ok(met.size >= 0.75 * Math.min(columns, found.length), `${[...met]} of ${columns}`);
    assert.ok(new Set(found.map((index) => Math.floor(index / columns))).size >= 0.75 * found.length);
  }
});

test.run();
