import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openCpuDevice } from '../../device.js';
import { type DType, fromArray, type Tensor } from '../../tensor.js';
import { randomNormal } from '../../testing/index.js';
import { clipFactor, readClip, sumOfParts, sumOfSquares } from './index.js';
import { clipReference } from './reference.js';

async function clipOf(
  values: ArrayLike<number>,
  maxNorm: number,
  options: { threads?: number; dtype?: DType } = {},
) {
  const device = openCpuDevice({ threads: options.threads ?? 1, poison: true });
  const best = device.native.cpuInfo().level;
  try {
    const gradient = fromArray(device, values, [values.length], options.dtype);
    const levels = [];
    for (let level = 0; level <= best; level++) {
      device.native.cpuLimit(level);
      levels.push(await readClip(clipFactor(sumOfSquares(gradient), maxNorm)));
    }
    return levels;
  } finally {
    device.native.cpuLimit(best);
    device.close();
  }
}

for (const size of [0, 1, 63, 65_537, 400_003]) {
  test(`norm of ${size} elements`, async () => {
    for (const dtype of ['f32', 'f64'] as const) {
      const values = Float32Array.from(randomNormal(size, 1));
      const expected = clipReference(values, 10);
      for (const clip of await clipOf(values, 10, { dtype })) {
        assert.ok(clip.isFinite);
        assert.ok(
          Math.abs(clip.norm - expected.norm) <= 1e-13 * expected.norm,
          `${clip.norm} ${expected.norm}`,
        );
        assert.ok(Math.abs(clip.factor - expected.factor) <= 1e-13);
      }
    }
  });
}

test('gradients in several buffers have one norm', async () => {
  const device = openCpuDevice({ poison: true });
  const [first, second] = [fromArray(device, [3, 0, 4], [3]), fromArray(device, [12], [1])];
  assert.is((await readClip(clipFactor(sumOfSquares(first, second), 1))).norm, 13);
  device.close();
});

test('what was summed in parts has one sum', async () => {
  const device = openCpuDevice({ poison: true });
  assert.equal([...(await sumOfParts(fromArray(device, [3, 4, 5], [3], 'f64')).read())], [12]);
  assert.equal([...(await sumOfParts(fromArray(device, [], [0], 'f64')).read())], [0]);
  device.close();
});

test('the norm has the same bits for every number of threads', async () => {
  const values = randomNormal(1_000_003, 1);
  const alone = await clipOf(values, 1);
  assert.equal(await clipOf(values, 1, { threads: 2 }), alone);
  assert.equal(await clipOf(values, 1, { threads: 3 }), alone);
});

test('gradients whose squares overflow f32 still have a norm', async () => {
  const [clip] = await clipOf([3e30, 4e30], 1);
  assert.ok(Math.abs(clip!.norm / 5e30 - 1) < 1e-6);
  assert.ok(clip!.isFinite);
});

test('a NaN or infinite gradient is told', async () => {
  for (const bad of [Number.NaN, Infinity, -Infinity]) {
    const values = randomNormal(70_000, 1);
    values[69_999] = bad;
    for (const clip of await clipOf(values, 1)) {
      assert.is(clip.isFinite, false);
      assert.is(clip.factor, 0);
    }
  }
});

test('after a norm that was not finite, later ones count as not finite too', async () => {
  const device = openCpuDevice({ poison: true });
  try {
    const sums = [[1], [Number.NaN], [4], [9]].map((sum) => fromArray(device, sum, [1], 'f64'));
    const found = [];
    let previous: Tensor | null = null;
    for (const sum of sums) {
      previous = clipFactor(sum, 1, previous);
      found.push(await readClip(previous));
    }
    assert.equal(
      found.map((clip) => clip.isFinite),
      [true, false, false, false],
    );
    assert.equal(
      found.slice(1).map((clip) => clip.factor),
      [0, 0, 0],
    );
    assert.is(found[2]!.norm, 2, 'the norm of the step itself');
    assert.ok((await readClip(clipFactor(sums[2]!, 1))).isFinite, 'without the one before');
  } finally {
    device.close();
  }
});

test('no clipping below the limit, nor without one', async () => {
  assert.is((await clipOf([3, 4], 6))[0]!.factor, 1);
  assert.is((await clipOf([3e10, 4e10], Infinity))[0]!.factor, 1);
});

test.run();
