import { LongscanError } from '@longscan/kernels/errors';
import type { Failed } from '../protocol/messages.js';

/** Longest text of a report; an error may quote a whole file. */
const maxCharacters = 8000;

/** What the coordinator is told of a task's error. One that is not a LongscanError is a bug of ours, stack included. */
export function describeFailure(error: unknown): Failed {
  const stack = error instanceof Error ? clip(error.stack ?? error.message) : null;
  if (!(error instanceof LongscanError)) {
    const found = clip(error instanceof Error ? `${error.name}: ${error.message}` : String(error));
    return {
      type: 'failed',
      code: 'E-BUG',
      where: 'task',
      found,
      expected: null,
      fix: null,
      exitCode: 1,
      stack,
    };
  }
  const { code, where, found, expected, fix } = error.parts;
  return {
    type: 'failed',
    code: clip(code),
    where: clip(where),
    found: clip(found),
    expected: expected === undefined ? null : clip(expected),
    fix: fix === undefined ? null : clip(fix),
    exitCode: error.exitCode,
    stack,
  };
}

function clip(text: string): string {
  return text.length <= maxCharacters ? text : `${text.slice(0, maxCharacters)} …`;
}
