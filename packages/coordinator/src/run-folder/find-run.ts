import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { LongscanError, type Plan, planSchema } from '@longscan/worker/protocol';
import { ZodError } from 'zod';
import { runFiles, runsFolder } from './run-folder.js';

/**
 * The folder of a run that a user names: a path, the name of a folder in `runs/`, or `latest`.
 *
 * @returns its absolute path, symlinks resolved.
 * @throws LongscanError E-RUN-NONE (exit code 2).
 */
export function findRun(given: string): string {
  for (const candidate of [resolve(given), resolve(runsFolder, given)]) {
    if (isRunFolder(candidate)) return realpathSync(candidate);
  }
  const known = listRuns().slice(0, 5);
  throw new LongscanError({
    code: 'E-RUN-NONE',
    where: given,
    found: 'no run folder of that path, and none of that name in runs/',
    expected: known.length === 0 ? 'a run folder' : `a run such as ${known.join(', ')}`,
    fix: `name ${known.length === 0 ? 'the folder of one' : 'one of them, or a path'}; the current folder is ${process.cwd()}`,
    exitCode: 2,
  });
}

/** Names of the folders in `runs/` that hold a run, newest first. */
export function listRuns(): string[] {
  let names: string[];
  try {
    names = readdirSync(runsFolder);
  } catch {
    return [];
  }
  return names
    .filter((name) => name !== 'latest' && isRunFolder(join(runsFolder, name)))
    .map((name) => ({ name, startedMs: statSync(join(runsFolder, name, runFiles.plan)).mtimeMs }))
    .sort((a, b) => b.startedMs - a.startedMs)
    .map(({ name }) => name);
}

/** The plan that a run was last launched with. @throws LongscanError E-RUN-PLAN (exit code 4). */
export function readPlan(runDir: string): Plan {
  const path = join(runDir, runFiles.plan);
  try {
    return planSchema.parse(JSON.parse(readFileSync(path, 'utf8')));
  } catch (cause) {
    throw new LongscanError({
      code: 'E-RUN-PLAN',
      where: path,
      found: `it cannot be read (${reasonOf(cause)})`,
      expected: 'the plan of a run of this version of longscan',
      fix: 'use the version that the run was made with, or name another run',
      exitCode: 4,
      cause,
    });
  }
}

function reasonOf(cause: unknown): string {
  if (!(cause instanceof ZodError)) return (cause as Error).message;
  const { path, message } = cause.issues[0]!;
  return [...path, message].join(': ');
}

function isRunFolder(path: string): boolean {
  const plan = join(path, runFiles.plan);
  return existsSync(plan) && statSync(plan).isFile();
}
