declare module '../../native.js' {
  interface Native {
    /**
     * loss = scale · Σ_t −log softmax(hidden Wᵀ)[labels[t]] over labels ≥ 0, for a scale [1] of f64, and unless null the gradients of that
     * number, that of the weight added to what is there if `accumulate`; `logits` [chunk, vocab] is scratch. On the CPU it
     * fails on the stream with E-DATA-VOCAB.
     */
    crossEntropyForward(
      stream: number,
      hidden: number,
      weight: number,
      labels: number,
      scale: number,
      logits: number,
      loss: number,
      dHidden: number | null,
      dWeight: number | null,
      accumulate: boolean,
    ): void;
    /** target = seed · unit, or target += seed · unit, for a seed [1]; unit may be target */
    crossEntropyBackward(
      stream: number,
      seed: number,
      unit: number,
      target: number,
      accumulate: boolean,
    ): void;
  }
}

export {};
