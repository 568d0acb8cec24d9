/**
 * The definition, for x [rows, H, K] with one position per row: the complex numbers x[i] + i·x[i + K/2] times
 * exp(i ⌊position / step⌋ theta^(-2i/K)).
 */
export function rotaryReference(
  x: Float64Array,
  positions: ArrayLike<number>,
  { H, K, theta, step }: { H: number; K: number; theta: number; step: number },
): Float64Array {
  const y = new Float64Array(x.length);
  const half = K / 2;
  for (let at = 0; at < x.length; at += K) {
    const position = Math.floor(positions[Math.floor(at / (H * K))]! / step);
    for (let i = 0; i < half; i++) {
      const angle = position * theta ** ((-2 * i) / K);
      const [low, high] = [x[at + i]!, x[at + half + i]!];
      y[at + i] = low * Math.cos(angle) - high * Math.sin(angle);
      y[at + half + i] = high * Math.cos(angle) + low * Math.sin(angle);
    }
  }
  return y;
}
