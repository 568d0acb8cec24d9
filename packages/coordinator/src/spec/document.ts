import { LongscanError } from '@longscan/worker/protocol';
import type { Position } from './origin.js';

/** Where a key is written and where its value begins. */
export interface KeyPlace {
  readonly key: Position;
  readonly value: Position;
}

/** A job file as parsed, not yet checked. */
export interface JobDocument {
  /** The path as the user gave it, for messages; null for a job that a script wrote. */
  readonly file: string | null;
  readonly value: Readonly<Record<string, unknown>>;
  /** By dotted path, array elements counted from 0: `model.layers.0.use`. */
  readonly places: ReadonlyMap<string, KeyPlace>;
}

/** Tables and arrays inside each other; a job needs four. */
export const maxDepth = 32;

export function tooDeep(file: string): LongscanError {
  return new LongscanError({
    code: 'E-CFG-SIZE',
    where: file,
    found: 'tables or lists nested too deeply',
    expected: `at most ${maxDepth} levels`,
    exitCode: 2,
    fix: 'take some of these levels out',
  });
}

/** Columns of a long line shown before and around the caret. */
const windowColumns = 60;

/** E-CFG-PARSE with the offending line and a caret below the column. */
export function syntaxError(
  file: string,
  text: string,
  at: Position,
  reason: string,
  cause?: unknown,
): LongscanError {
  const source = (text.split('\n')[at.line - 1] ?? '').replace(/\r$/, '');
  const start = Math.max(0, at.column - 1 - windowColumns);
  const shown = source.slice(start, start + 2 * windowColumns).replaceAll('\t', ' ');
  return new LongscanError({
    code: 'E-CFG-PARSE',
    where: `${file}:${at.line}:${at.column}`,
    found: reason,
    fix: `correct it here\n    ${shown}\n    ${' '.repeat(at.column - 1 - start)}^`,
    exitCode: 2,
    cause,
  });
}
