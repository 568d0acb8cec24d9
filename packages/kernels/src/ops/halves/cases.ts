import type { Device } from '../../device.js';
import { empty, fromArray } from '../../tensor.js';
import { expectSameBits, randomNormal } from '../../testing/index.js';
import { type Halves, joinHalves, splitHalves } from './index.js';
import { halvesReference } from './reference.js';

/** Numbers of every size, halfway cases of both kinds, the extremes and what is no number. */
export function halvesCases(size: number): Float32Array {
  const bits = [
    ...[0x3f808000, 0x3f818000, 0xbf808000, 0xbf818000, 0x3f807fff, 0x3f808001],
    ...[0, 0x80000000, 1, 0x80000001, 0x7f7fffff, 0xff7fffff, 0x7f800000, 0xff800000],
  ];
  const special = new Float32Array(Uint32Array.from(bits).buffer);
  const random = Float32Array.from(randomNormal(size, 1), (value, i) => value * 2 ** ((i % 200) - 100));
  return Float32Array.from([...special, ...random]);
}

/** Splits numbers on a device, holds both halves and what they are together against the definition, and returns the halves. */
export async function checkHalves(device: Device, values: Float32Array): Promise<Halves> {
  const given = fromArray(device, values, [values.length]);
  const halves = { high: empty(device, given.shape, 'bf16'), low: empty(device, given.shape, 'bf16') };
  splitHalves(given, halves);
  const expected = halvesReference(values);
  expectSameBits('the upper half', await halves.high.read(), expected.high);
  expectSameBits('the lower half', await halves.low.read(), expected.low);
  const found = (await joinHalves(halves).read()) as Float32Array;
  expectSameBits('both', new Uint32Array(found.buffer), new Uint32Array(values.buffer));
  return halves;
}
