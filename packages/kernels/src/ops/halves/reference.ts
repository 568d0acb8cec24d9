/** The definition: the bits of f32 numbers, rounded to multiples of 2¹⁶, and what is left, as patterns of 16 bits. */
export function halvesReference(values: Float32Array): { high: Uint16Array; low: Uint16Array } {
  const bits = new Uint32Array(values.slice().buffer);
  return {
    high: Uint16Array.from(bits, (one) => (one + 0x8000) >>> 16),
    low: Uint16Array.from(bits, (one) => one & 0xffff),
  };
}
