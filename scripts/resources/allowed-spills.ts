/** A kernel that may spill, up to so many bytes, or have such losses, and why little is lost by it. */
export interface AllowedSpill {
  /** Below packages/kernels/src. */
  readonly file: string;
  /** With its template's arguments, or without: every one of them. */
  readonly kernel: string;
  /** Every one where it is not given. */
  readonly architecture?: string;
  readonly bytes: number;
  /** Codes of the compiler's remarks, as C7514. */
  readonly losses?: readonly string[];
  readonly reason: string;
}

export const allowedSpills: readonly AllowedSpill[] = [];
