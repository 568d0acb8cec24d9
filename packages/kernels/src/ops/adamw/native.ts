declare module '../../native.js' {
  interface Native {
    /** One step in place on parameter, m and v, unless clip [3] (of clipFactor) says that the norm is not finite */
    adamwUpdate(
      stream: number,
      parameter: number,
      gradient: number,
      m: number,
      v: number,
      clip: number,
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
