import { existsSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { maxTracedSteps, parseTraceWindow, traceWindowPattern } from '@longscan/worker/protocol';
import { makeFolders, onDisk } from '../run-folder/on-disk.js';
import { runFiles } from '../run-folder/run-folder.js';
import { usage } from '../usage.js';

/**
 * Checks `--trace` of a benchmark that makes `numSteps` steps in all.
 * @throws LongscanError E-CLI-USAGE (exit code 2)
 */
export function requireTraceWindow(window: string, numSteps: number): void {
  const refuse = (expected: string, fix: string) => {
    throw usage('--trace', JSON.stringify(window), expected, fix);
  };
  const usual = `--trace=${Math.min(2, numSteps)}-${numSteps}`;
  if (!traceWindowPattern.test(window)) refuse('FIRST-LAST or a step, counted from 1', usual);
  const { first, last } = parseTraceWindow(window);
  if (last < first) refuse('the first step in front of the last', `--trace=${last}-${first}`);
  if (last > numSteps) refuse(`steps that are made: ${numSteps}, those to warm up among them`, usual);
  if (last - first >= maxTracedSteps)
    refuse(`at most ${maxTracedSteps} steps`, `--trace=${first}-${first + 5}`);
}

/**
 * Makes the folder of a benchmark's traces, without those of an earlier one.
 * @returns its absolute path
 * @throws LongscanError E-CLI-USAGE (exit code 2) for the folder of a run, whose traces are its own; E-DISK (exit code 3)
 */
export function prepareTraceFolder(given: string): string {
  const dir = resolve(given);
  if (existsSync(join(dir, runFiles.plan)))
    throw usage('--out', `${given}, the folder of a run`, 'another one', '--out traced-step');
  const prepare = () => {
    makeFolders(dir);
    rmSync(join(dir, runFiles.traces), { recursive: true, force: true });
    rmSync(join(dir, runFiles.trace), { force: true });
  };
  onDisk(dir, prepare, '--out');
  return dir;
}
