import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openCpuDevice } from '../../device.js';
import { empty, fromArray } from '../../tensor.js';
import { checkHalves, halvesCases } from './cases.js';
import { joinHalves, splitHalves } from './index.js';

test('f32 numbers as halves ~> the upper one is the number in bf16, both together are the same bits', async () => {
  const device = openCpuDevice({ threads: 2, poison: true });
  const values = halvesCases(50_000);
  const halves = await checkHalves(device, values);
  const rounded = await halves.high.readNumbers();
  values.forEach((value, i) => {
    if (Math.abs(value) > 1e38 || Math.abs(value) < 1e-38) return;
    assert.ok(Math.abs(rounded[i]! - value) <= 2 ** -8 * Math.abs(value), `${value} as ${rounded[i]}`);
  });
  device.close();
});

test('NaN of any kind stays NaN', async () => {
  const device = openCpuDevice();
  const kinds = new Float32Array(Uint32Array.from([0x7fffffff, 0xffffffff, 0x7f800001, 0xffc00000]).buffer);
  const given = fromArray(device, [0, 0, 0, 0], [4]);
  given.write(kinds);
  const halves = { high: empty(device, [4], 'bf16'), low: empty(device, [4], 'bf16') };
  splitHalves(given, halves);
  for (const tensor of [halves.high, joinHalves(halves)]) {
    assert.ok((await tensor.readNumbers()).every(Number.isNaN));
  }
  device.close();
});

test('halves of another shape are refused', () => {
  const device = openCpuDevice();
  const [values, high, low] = [empty(device, [4]), empty(device, [4], 'bf16'), empty(device, [3], 'bf16')];
  assert.throws(() => splitHalves(values, { high, low }), /E-SHAPE.*split-halves.*low/s);
  assert.throws(() => joinHalves({ high, low }), /E-SHAPE.*join-halves.*low/s);
  device.close();
});

test.run();
