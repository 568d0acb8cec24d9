declare module '../../native.js' {
  interface Native {
    /**
     * One step in place on parameter, m and v, unless clip [3] (of clipFactor) says that the norm is not finite; on a GPU
     * in f32, and working = parameter, rounded to bf16
     */
    adamwUpdate(
      stream: number,
      parameter: number,
      gradient: number,
      m: number,
      v: number,
      clip: number,
      working: number | null,
      learningRate: number,
      beta1: number,
      beta2: number,
      eps: number,
      weightDecay: number,
      step: number,
    ): void;
  }
}

export {};
