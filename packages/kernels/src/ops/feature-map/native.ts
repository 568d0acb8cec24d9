/** What every function here begins with. */
type FeatureMapArguments = readonly [
  stream: number,
  hasLinear: boolean,
  linear: number,
  square: number,
  cross: number,
  x: number,
];

declare module '../../native.js' {
  interface Native {
    /** y = [1, linear · x,] square · x_i², cross · x_i x_j for i < j; on a GPU in rows that may end in zeros */
    featureMapForward(...args: [...common: FeatureMapArguments, y: number]): void;
    featureMapBackward(...args: [...common: FeatureMapArguments, dy: number, dx: number]): void;
  }
}

export {};
