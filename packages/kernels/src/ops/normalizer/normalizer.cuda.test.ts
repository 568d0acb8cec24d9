import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fromArray } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import { checkOpOnGpu, randomNormal } from '../../testing/index.js';
import { concatLast, splitLast } from '../columns/index.js';
import { appendOnes, normalizeLast } from './index.js';
import { appendOnesReference, normalizeLastReference } from './reference.js';

for (const shape of [
  [1, 1],
  [63, 7],
  [2, 3, 4, 65],
  [1000, 33],
  [2, 37, 3, 64],
  [9, 128],
]) {
  const size = shape.reduce((product, dim) => product * dim, 1);
  const cols = shape.at(-1)!;

  testOnGpu(`append-ones [${shape}]`, (device) =>
    checkOpOnGpu(device, {
      name: 'append-ones',
      inputs: { v: { values: randomNormal(size, 1), shape } },
      op: ({ v }) => {
        const wide = appendOnes(v);
        const rest = wide.dim(-1) - cols - 1;
        return rest === 0 ? [wide] : [splitLast(wide, [cols + 1, rest])[0]!];
      },
      reference: ({ v }) => [appendOnesReference(v, cols)],
    }),
  );

  testOnGpu(`normalize-last [${shape}] plus one`, (device) => {
    const wide = randomNormal((size / cols) * (cols + 1), 1);
    for (let row = 0; row < size / cols; row++) {
      const z = row % 3 === 2 ? 0.1 : 1 + Math.abs(wide[row * (cols + 1) + cols]!);
      wide[row * (cols + 1) + cols] = row % 2 === 0 ? z : -z;
    }
    return checkOpOnGpu(device, {
      name: 'normalize-last',
      inputs: { o: { values: wide, shape: [...shape.slice(0, -1), cols + 1] } },
      // As it is, and with further columns, which nothing depends on.
      op: ({ o }, on) => {
        const extra = (cols + 8) % 8 === 0 ? 7 : 3;
        const columns = (size / cols) * extra;
        const further = fromArray(
          on,
          new Float64Array(columns).fill(on.kind === 'cuda' && o.dtype !== 'f32' ? 0x7fc0 : Number.NaN),
          [...shape.slice(0, -1), extra],
          o.dtype,
        );
        const padded = on.kind === 'cuda' ? concatLast([o, further]) : o;
        return [normalizeLast(o, cols, 0.5), normalizeLast(padded, cols, 0.5)];
      },
      reference: ({ o }) => [0, 1].map(() => normalizeLastReference(o, cols, 0.5)),
    });
  });
}

testOnGpu('append-ones ~> rows of a multiple of 8, which end in zeros', async (device) => {
  const wide = appendOnes(fromArray(device, [1, 2, 3, 4], [2, 2]));
  assert.equal(wide.shape, [2, 8]);
  assert.equal([...(await wide.read())], [1, 2, 1, 0, 0, 0, 0, 0, 3, 4, 1, 0, 0, 0, 0, 0]);
});

test.run();
