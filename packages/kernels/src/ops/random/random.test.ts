import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openCpuDevice } from '../../device.js';
import { empty } from '../../tensor.js';
import { fillNormal } from './index.js';
import { normalReference, philoxReference } from './reference.js';

test('philox ~> the known answers of Random123', () => {
  const ones = 0xffff_ffff;
  assert.equal(philoxReference([0, 0, 0, 0], [0, 0]), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
  assert.equal(
    philoxReference([ones, ones, ones, ones], [ones, ones]),
    [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
  );
  assert.equal(
    philoxReference([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0]),
    [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  );
});

for (const size of [1, 2, 3, 4, 5, 1001, 70_001]) {
  test(`fillNormal ~> ${size} elements are those of the definition, whatever the number of threads`, async () => {
    const key = [0xdead_beef, size] as const;
    const expected = normalReference(size, key);
    for (const threads of [1, 3]) {
      const device = openCpuDevice({ threads, poison: true });
      try {
        for (const dtype of ['f32', 'f64'] as const) {
          const target = empty(device, [size], dtype);
          fillNormal(target, 0.25, key);
          const found = await target.readNumbers();
          const bound = dtype === 'f32' ? 1e-7 : 1e-14;
          for (const [i, value] of found.entries()) {
            assert.ok(Math.abs(value - 0.25 * expected[i]!) < bound, `element ${i}: ${value}`);
          }
        }
      } finally {
        device.close();
      }
    }
  });
}

test('fillNormal ~> mean, deviation, fourth moment, and no two keys alike', async () => {
  const device = openCpuDevice({ poison: true });
  try {
    const count = 2 ** 20;
    const draw = async (key: readonly [number, number]) => {
      const target = empty(device, [count], 'f64');
      fillNormal(target, 1, key);
      return target.readNumbers();
    };
    const [first, second] = [await draw([1, 2]), await draw([1, 3])];
    const mean = (f: (x: number, i: number) => number) =>
      first.reduce((sum, x, i) => sum + f(x, i), 0) / count;
    const sigma = 1 / Math.sqrt(count);
    assert.ok(Math.abs(mean((x) => x)) < 5 * sigma);
    assert.ok(Math.abs(mean((x) => x * x) - 1) < 5 * Math.SQRT2 * sigma);
    assert.ok(Math.abs(mean((x) => x ** 4) - 3) < 5 * Math.sqrt(96) * sigma);
    assert.ok(Math.abs(mean((x, i) => x * second[i]!)) < 5 * sigma);
    assert.ok(Math.abs(mean((x, i) => x * first[(i + 1) % count]!)) < 5 * sigma);
  } finally {
    device.close();
  }
});

test.run();
