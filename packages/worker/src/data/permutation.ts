/**
 * A permutation of `0 … length − 1` that depends on `seed` and `round` alone: the same on every rank, machine and
 * Node version (Fisher–Yates over a 32-bit counter hash).
 */
export function permutation(length: number, seed: number, round: number): Uint32Array {
  const order = Uint32Array.from({ length }, (_, i) => i);
  const draw = uniformDraws(mix(mix(seed) ^ round));
  for (let i = length - 1; i > 0; i--) {
    const j = draw(i + 1);
    const kept = order[i]!;
    order[i] = order[j]!;
    order[j] = kept;
  }
  return order;
}

/** A function that returns independent uniform integers in `[0, bound)`, `bound` at most 2^32. */
export function uniformDraws(seed: number): (bound: number) => number {
  let counter = 0;
  return (bound) => {
    // Values past the last whole multiple of bound would make small results more likely than others.
    const limit = 2 ** 32 - (2 ** 32 % bound);
    for (;;) {
      const value = mix(mix(seed ^ 0x9e3779b9) + counter++);
      if (value < limit) return value % bound;
    }
  };
}

/** The finalizer of MurmurHash3: a bijection of 32-bit integers without visible structure. */
export function mix(value: number): number {
  let x = value | 0;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}
