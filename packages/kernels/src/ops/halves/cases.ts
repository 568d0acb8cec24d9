import { randomNormal } from '../../testing/index.js';

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
