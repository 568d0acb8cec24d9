declare module '../../native.js' {
  interface Native {
    /**
     * One step in place on parameter, m and v, unless clip [3] (of clipFactor) says that the norm is not finite; on a GPU
     * in f32. Unless low is null, on a GPU only, parameter is the upper half of it and low the other, as of halvesSplit. m
     * and v may be bf16 where parameter is f32: rounded by random numbers of the key, the step and the element's number.
     * Unless squares is null, on a GPU only, it gets the sum of gradient² in parts, f64 [elements / 1,024, rounded up]
     */
    adamwUpdate(
      stream: number,
      parameter: number,
      low: number | null,
      gradient: number,
      m: number,
      v: number,
      clip: number,
      squares: number | null,
      learningRate: number,
      beta1: number,
      beta2: number,
      eps: number,
      weightDecay: number,
      step: number,
      key0: number,
      key1: number,
      firstElement: number,
    ): void;
  }
}

export {};
