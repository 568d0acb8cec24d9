import { existsSync } from 'node:fs';
import type { PositionalOptions } from 'yargs';
import { findRun } from '../run-folder/find-run.js';

export const checkpointPositional = {
  type: 'string',
  demandOption: true,
  describe: 'checkpoint folder, or a run (its newest checkpoint)',
} as const satisfies PositionalOptions;

/** A path as it is; a word that is no path as the name of a run. What the folder holds is not looked at. */
export function findCheckpoint(given: string): string {
  return existsSync(given) || given.includes('/') ? given : findRun(given);
}
