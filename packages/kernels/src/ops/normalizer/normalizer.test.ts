import { test } from 'uvu';
import { checkOp, randomNormal } from '../../testing/index.js';
import { appendOnes, normalizeLast } from './index.js';
import { appendOnesReference, normalizeLastReference } from './reference.js';

for (const shape of [
  [1, 1],
  [63, 7],
  [2, 3, 4, 65],
  [1000, 33],
]) {
  const size = shape.reduce((product, dim) => product * dim, 1);
  const cols = shape.at(-1)!;

  test(`append-ones [${shape}]`, async () => {
    await checkOp({
      name: 'append-ones',
      inputs: { v: { values: randomNormal(size, 1), shape } },
      op: ({ v }) => [appendOnes(v)],
      reference: ({ v }) => [appendOnesReference(v, cols)],
    });
  });

  test(`normalize-last [${shape}] plus one`, async () => {
    const wide = randomNormal((size / cols) * (cols + 1), 1);
    for (let row = 0; row < size / cols; row++) {
      // Clear of zero and of the guard's edge: both signs, and every third row inside the guard.
      const z = row % 3 === 2 ? 0.1 : 1 + Math.abs(wide[row * (cols + 1) + cols]!);
      wide[row * (cols + 1) + cols] = row % 2 === 0 ? z : -z;
    }
    await checkOp({
      name: 'normalize-last',
      inputs: { o: { values: wide, shape: [...shape.slice(0, -1), cols + 1] } },
      op: ({ o }) => [normalizeLast(o, cols, 0.5)],
      reference: ({ o }) => [normalizeLastReference(o, cols, 0.5)],
      maxElements: 60,
    });
  });
}

test.run();
