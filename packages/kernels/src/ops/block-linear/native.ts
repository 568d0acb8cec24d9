declare module '../../native.js' {
  interface Native {
    /** y = x Wᵀ, block by block */
    blockLinearForward(stream: number, x: number, weight: number, y: number): void;
    /** dx = dy W */
    blockLinearInputGrad(stream: number, dx: number, weight: number, dy: number): void;
    /** dw (+)= Σ_rows dy xᵀ; of bf16 dy and x into f32 too, on a GPU */
    blockLinearWeightGrad(stream: number, x: number, dw: number, dy: number, accumulate: boolean): void;
  }
}

export {};
