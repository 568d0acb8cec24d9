import { test } from 'uvu';
import { checkOp, randomNormal } from '../../testing/index.js';
import { blockLinear } from './index.js';
import { blockLinearReference } from './reference.js';

const cases: readonly {
  readonly rows: readonly number[];
  readonly G: number;
  readonly size: number;
  readonly out: number;
}[] = [
  { rows: [1], G: 1, size: 1, out: 1 },
  { rows: [2, 33], G: 5, size: 4, out: 4 },
  { rows: [129], G: 3, size: 7, out: 10 },
  { rows: [64], G: 2, size: 33, out: 3 },
];

for (const { rows, G, size, out } of cases) {
  const numRows = rows.reduce((a, b) => a * b, 1);
  test(`block-linear ~> ${rows} rows, ${G} blocks of ${size} to ${out}`, async () => {
    await checkOp({
      name: `${rows} rows, ${G} blocks of ${size} to ${out}`,
      inputs: {
        x: { values: randomNormal(numRows * G * size, 1), shape: [...rows, G, size] },
        weight: { values: randomNormal(G * out * size, 2), shape: [G, out, size] },
      },
      op: ({ x, weight }) => [blockLinear({ x, weight })],
      reference: ({ x, weight }) => [blockLinearReference({ numRows, G, size, out }, x, weight)],
    });
  });
}

test.run();
