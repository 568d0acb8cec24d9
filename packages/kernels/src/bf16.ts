// bf16 on the host: a number's 16-bit pattern is the upper half of the same number's in f32.

/** The numbers that patterns stand for. */
export function widenedBf16(patterns: ArrayLike<number>): Float32Array {
  return new Float32Array(Uint32Array.from(patterns, (pattern) => pattern * 2 ** 16).buffer);
}

/** Patterns of the nearest numbers that bf16 has to these in f32, of two as near the even one; NaN stays NaN. */
export function nearestBf16(values: ArrayLike<number>): Uint16Array {
  const bits = new Uint32Array(Float32Array.from(values).buffer);
  return Uint16Array.from(bits, (word, i) => {
    if (Number.isNaN(values[i])) return 0x7fc0;
    return (word + 0x7fff + ((word >>> 16) & 1)) / 2 ** 16;
  });
}
