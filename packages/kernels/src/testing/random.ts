/** Deterministic pseudo-random numbers in [0, 1) (mulberry32). */
export function randomSource(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Standard normal values. */
export function randomNormal(size: number, seed: number, scale = 1): Float64Array {
  const next = randomSource(seed);
  return Float64Array.from({ length: size }, () => {
    const radius = Math.sqrt(-2 * Math.log(1 - next()));
    return scale * radius * Math.cos(2 * Math.PI * next());
  });
}

/** Uniform values in [low, high). */
export function randomUniform(size: number, seed: number, low: number, high: number): Float64Array {
  const next = randomSource(seed);
  return Float64Array.from({ length: size }, () => low + (high - low) * next());
}
