import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** The repository's root folder. */
export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');

/** A failure of the set-up in the form every longscan error has. Exit code 3: the environment. */
export class SetupError extends Error {
  /** @param {{ code: string, where: string, found: string, expected?: string, fix: string, exitCode?: number }} parts */
  constructor({ code, where, found, expected, fix, exitCode = 3 }) {
    const wanted = expected === undefined ? '' : `, expected ${expected}`;
    super(`error[${code}] ${where}: ${found}${wanted}. Fix: ${fix}`);
    this.exitCode = exitCode;
  }
}

/** Progress goes to stderr: stdout belongs to the command that set-up runs for. */
export function say(text) {
  process.stderr.write(`set-up: ${text}\n`);
}

/** Runs a program with its output on stderr and no stdin; returns its exit status (null: killed or not found). */
export function runStatus(command, args, { env = {}, cwd = root } = {}) {
  return spawnSync(command, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 2, 2] }).status;
}

/** As `runStatus`, but any other end than status 0 is a SetupError with the given fix. */
export function run(command, args, { fix, exitCode, ...options }) {
  const status = runStatus(command, args, options);
  if (status === 0) return;
  const found = status === null ? 'could not be run or was killed' : `ended with status ${status}`;
  throw new SetupError({ code: 'E-SETUP', where: [command, ...args].join(' '), found, fix, exitCode });
}

/** Runs a program and returns its stdout, or null when it failed. */
export function capture(command, args) {
  const result = spawnSync(command, args, { stdio: ['ignore', 'pipe', 'ignore'], encoding: 'utf8' });
  return result.status === 0 ? result.stdout : null;
}

/** The full path of an executable: a path given as such, or the first hit on PATH; null when there is none. */
export function which(name) {
  const folders = name.includes('/') ? [''] : (process.env.PATH ?? '').split(path.delimiter);
  for (const folder of folders) {
    const file = path.join(folder, name);
    try {
      accessSync(file, constants.X_OK);
      return file;
    } catch {
      // Not in this folder: the next one may have it.
    }
  }
  return null;
}
