import { existsSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { LongscanError } from '@longscan/worker/protocol';
import { closest } from '../spec/edit-distance.js';

/** Folder of all runs, below the current one. */
const runsFolder = 'runs';

/**
 * The folder of the run that a user calls by its path, its name in `runs/`, the job's name (the newest such run) or
 * `latest`. Absolute, links resolved.
 * @throws LongscanError E-CLI-RUN (exit code 2)
 */
export function findRun(given: string): string {
  const names = runNames();
  // Names end in a timestamp, so the last of a job's runs is its newest.
  const newest = names
    .filter((name) => name.startsWith(`${given}-`))
    .sort()
    .at(-1);
  const candidates = [
    given,
    join(runsFolder, given),
    ...(newest === undefined ? [] : [join(runsFolder, newest)]),
  ];
  const found = candidates.find((path) => existsSync(join(path, 'job.resolved.toml')));
  if (found !== undefined) return realpathSync(found);
  const near = closest(given, names) ?? names.at(-1);
  throw new LongscanError({
    code: 'E-CLI-RUN',
    where: given,
    found: existsSync(given) ? 'a path that is no run folder' : 'no such run',
    expected: `a run folder, a name in ${resolve(runsFolder)}, or latest`,
    fix: near === undefined ? 'longscan train JOB starts a first run' : `for example ${near}`,
    exitCode: 2,
  });
}

function runNames(): string[] {
  if (!statSync(runsFolder, { throwIfNoEntry: false })?.isDirectory()) return [];
  return readdirSync(runsFolder)
    .filter((name) => name !== 'latest' && existsSync(join(runsFolder, name, 'job.resolved.toml')))
    .sort();
}
