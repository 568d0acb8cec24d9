import { randomNormal } from '../../testing/index.js';

// What the tests of this op, on CPU and GPU, are made of.

export interface Case {
  readonly B: number;
  readonly T: number;
  readonly D: number;
  readonly W: number;
  /** Indices into [B, T] where a document starts. */
  readonly starts?: readonly number[];
}

/** With the channels of a head. */
export interface UnitCase extends Case {
  readonly size: number;
}

/** The op's inputs at these sizes and, [B, T], where documents start (null: nowhere). */
export function problem({ B, T, D, W, starts }: Case) {
  return {
    label: `[${B}, ${T}, ${D}] width ${W}${starts ? `, documents from ${starts}` : ''}`,
    flags: starts ? Int32Array.from({ length: B * T }, (_, i) => Number(starts.includes(i))) : null,
    inputs: {
      x: { values: randomNormal(B * T * D, 1), shape: [B, T, D] },
      weight: { values: randomNormal(D * W, 2), shape: [D, W] },
    },
    bias: { values: randomNormal(D, 3), shape: [D] },
    halo: { values: randomNormal(B * (W - 1) * D, 4), shape: [B, W - 1, D] },
  };
}
