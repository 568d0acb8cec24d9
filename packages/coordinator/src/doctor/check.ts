import type { ErrorParts } from '@longscan/worker/protocol';
import { formatTable } from '../format.js';

/** `absent`: it is not there, and nothing that was asked for needs it. */
export type CheckStatus = 'ok' | 'warning' | 'failed' | 'absent';

/** One thing that was looked at. */
export interface Check {
  readonly name: string;
  readonly status: CheckStatus;
  readonly found: string;
  readonly expected?: string;
  /** What to do about it. */
  readonly fix?: string;
}

/** A check whose words an error or a refused fact has. */
export function checkOf(
  name: string,
  status: CheckStatus,
  { found, expected, fix }: Pick<ErrorParts, 'found' | 'expected' | 'fix'>,
): Check {
  const words = { found, ...(expected !== undefined && { expected }), ...(fix !== undefined && { fix }) };
  return { name, status, ...words };
}

/** One line each, in the order they are given. */
export function formatChecks(checks: readonly Check[]): string {
  return formatTable(checks.map((check) => [check.status, check.name, describe(check)]));
}

function describe({ found, expected, fix }: Check): string {
  const wanted = expected === undefined ? '' : `, expected ${expected}`;
  const remedy = fix === undefined ? '' : `. Fix: ${fix}`;
  return `${found}${wanted}${remedy}`.replaceAll(/\s*\n\s*/g, ' ');
}
