/** A kernel that may spill, up to so many bytes, and why little is lost by it. */
export interface AllowedSpill {
  /** Below packages/kernels/src. */
  readonly file: string;
  /** With its template's arguments, or without: every one of them. */
  readonly kernel: string;
  /** Every one where it is not given. */
  readonly architecture?: string;
  readonly bytes: number;
  readonly reason: string;
}

export const allowedSpills: readonly AllowedSpill[] = [];
