import type { RandomKey } from './index.js';

type Words = [number, number, number, number];

/** Philox4x32-10: the four words of a counter under a key. */
export function philoxReference(counter: Words, key: RandomKey): Words {
  let [a, b, c, d] = counter.map(BigInt) as [bigint, bigint, bigint, bigint];
  let [low, high] = key.map(BigInt) as [bigint, bigint];
  const mask = 0xffff_ffffn;
  for (let round = 0; round < 10; round++) {
    const first = 0xd251_1f53n * a;
    const second = 0xcd9e_8d57n * c;
    [a, b, c, d] = [(second >> 32n) ^ b ^ low, second & mask, (first >> 32n) ^ d ^ high, first & mask];
    low = (low + 0x9e37_79b9n) & mask;
    high = (high + 0xbb67_ae85n) & mask;
  }
  return [a, b, c, d].map(Number) as Words;
}

/** The first `count` normal numbers of a key: Box and Muller on each two words of block i / 4. */
export function normalReference(count: number, key: RandomKey): Float64Array {
  return Float64Array.from({ length: count }, (_, i) => {
    const block = Math.floor(i / 4);
    const words = philoxReference([block % 2 ** 32, Math.floor(block / 2 ** 32), 0, 0], key);
    const pair = i % 4 < 2 ? 0 : 2;
    const radius = Math.sqrt(-2 * Math.log((words[pair]! + 1) / 2 ** 32));
    const angle = (2 * Math.PI * words[pair + 1]!) / 2 ** 32;
    return radius * (i % 2 === 0 ? Math.cos(angle) : Math.sin(angle));
  });
}
