declare module '../../native.js' {
  interface Native {
    /** sum [1], f64 = Σ gradient², on a GPU of f32 */
    sumOfSquares(stream: number, gradient: number, sum: number): void;
    /** sum [1], f64 = Σ parts, f64 */
    sumOfParts(stream: number, parts: number, sum: number): void;
    /**
     * clip [3], f64 = factor min(1, maxNorm / (norm + 1e-6)), norm, the root of all of sums [n], f64, 1 if the norm is finite and previous [3], an
     * earlier clip, has a 1 there too (else factor 0 and 0)
     */
    clipFactor(stream: number, sums: number, maxNorm: number, previous: number | null, clip: number): void;
  }
}

export {};
