/** A kernel that may spill, up to so many bytes, and why nothing is lost by it. */
export interface AllowedSpill {
  /** Below packages/kernels/src. */
  readonly file: string;
  readonly kernel: string;
  readonly architecture: string;
  readonly bytes: number;
  readonly reason: string;
}

export const allowedSpills: readonly AllowedSpill[] = [];
