/** What went wrong, in the one form that every part of longscan prints. */
export interface ErrorParts {
  /** Stable name of the kind of error, for programs: `E-CFG-KEY`. */
  readonly code: string;
  /** Place: a file with line and column and key path, an op, a rank and its peer. */
  readonly where: string;
  readonly found: string;
  readonly expected?: string;
  /** What to do about it. */
  readonly fix?: string;
  /** Process exit code if nobody handles the error; 1 (our own bug) unless given. */
  readonly exitCode?: number;
  readonly rank?: number;
  readonly cause?: unknown;
}

/**
 * The only error class users meet. Its message reads `error[CODE] where: found, expected. Fix: …`.
 *
 * Exit codes: 1 our own bug, 2 usage or configuration, 3 environment, 4 checkpoint or data, 5 diverged,
 * 6 restart budget spent, 7 security, 8 a rank died, 128+n signal.
 */
export class LongscanError extends Error {
  readonly code: string;
  readonly exitCode: number;
  readonly hint: string | null;
  readonly rank: number | null;
  /** What the message was made of, so that an error can cross a process and be made again. */
  readonly parts: ErrorParts;

  constructor(parts: ErrorParts) {
    super(formatError(parts), parts.cause === undefined ? undefined : { cause: parts.cause });
    this.name = 'LongscanError';
    this.code = parts.code;
    this.exitCode = parts.exitCode ?? 1;
    this.hint = parts.fix ?? null;
    this.rank = parts.rank ?? null;
    this.parts = parts;
  }
}

/** The fix of what only a fault of longscan's own brings about. */
export const reportBug = (what = 'this'): string => `report ${what}: longscan has a bug`;

function formatError(parts: ErrorParts): string {
  const expected = parts.expected === undefined ? '' : `, expected ${parts.expected}`;
  const fix = parts.fix === undefined ? '' : `. Fix: ${parts.fix}`;
  return `error[${parts.code}] ${parts.where}: ${parts.found}${expected}${fix}`;
}
