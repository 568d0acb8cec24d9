declare module '../../native.js' {
  interface Native {
    /** wide [..., V + 1] = v [..., V] and a last column that is `last` everywhere; on a GPU zeros may follow here and below */
    widenRows(stream: number, v: number, last: number, wide: number): void;
    /** narrow [..., V] = wide [..., V + 1] without its last column */
    narrowRows(stream: number, wide: number, narrow: number): void;
    /** y [..., V] = o[..., :V] / z with z = o[..., V] held at least eps away from zero */
    normalizeForward(stream: number, o: number, eps: number, y: number): void;
    normalizeBackward(stream: number, dy: number, o: number, eps: number, outputGradient: number): void;
  }
}

export {};
