import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** Process ids of ranks, from the first lines of their logs; NaN for one that has not started to speak. */
export function rankPids(runDir: string, numRanks: number): number[] {
  return Array.from({ length: numRanks }, (_, rank) => {
    const log = readText(join(runDir, 'logs', `rank-${rank}.log`));
    return Number(/process (\d+)/.exec(log)?.[1] ?? Number.NaN);
  });
}

/** Whether a process still runs; one that has ended and was not waited for (a zombie) does not. */
export function isAlive(pid: number): boolean {
  const state = stateOf(pid);
  return state !== '' && state !== 'Z';
}

/** The letter that Linux has for what a process does: `T` for one that is stopped; empty for none. */
export function stateOf(pid: number): string {
  const stat = readText(`/proc/${pid}/stat`);
  return stat.charAt(stat.lastIndexOf(')') + 2);
}

/** Waits for as long as it takes; the deadline is the test file's. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await delay(20);
}

export function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
