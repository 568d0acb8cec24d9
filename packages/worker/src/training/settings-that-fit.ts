import { LongscanError } from '@longscan/kernels';
import type { JobSpec } from '../protocol/job-spec.js';
import type { Plan } from '../protocol/plan.js';
import { type Change, changesOf } from './changes.js';
import { describeBytes, neededBytes } from './memory-needed.js';

/** Settings with which each rank has memory enough. */
export interface Setting {
  readonly text: string;
  /** What a rank then needs. */
  readonly bytes: number;
}

export interface SettingSearch {
  /** Plans a changed job. Errors say that it cannot be had. */
  readonly replan: (jobSpec: JobSpec) => Promise<Plan>;
  /** Memory that a rank of a job may have. */
  readonly limitOf: (jobSpec: JobSpec) => number;
}

/** Settings that are told. */
const numWanted = 3;

/**
 * Up to three ways to make a job fit, each planned and found to: the mildest changes of one setting, then of one more beside
 * recomputed blocks or micro-batches of one sequence.
 */
export async function settingsThatFit(jobSpec: JobSpec, search: SettingSearch): Promise<Setting[]> {
  const found = await fittingChanges(changesOf(jobSpec), search, numWanted);
  for (const first of strongest(jobSpec)) {
    const rest = changesOf(first.jobSpec).map((changes) =>
      changes.map(({ text, jobSpec: job }) => ({ text: `${first.text} with ${text}`, jobSpec: job })),
    );
    found.push(...(await fittingChanges(rest, search, numWanted - found.length)));
  }
  return found;
}

/** Words for them. */
export function adviceOf(settings: readonly Setting[]): string {
  if (settings.length === 0) {
    return 'a smaller model, or parallel.zero = 1 over more ranks: shorter slices, of ranks or in time, smaller batches and model.recompute are not enough';
  }
  const options = settings.map(({ text, bytes }) => `${text} (${describeBytes(bytes)})`).join(', or ');
  return settings.length < numWanted ? `${options}; nothing else that was tried fits` : options;
}

/** The strongest of the changes that leave everything else possible. */
function strongest(jobSpec: JobSpec): Change[] {
  const [microBatches, recomputing] = changesOf(jobSpec);
  return [microBatches!.at(-1), recomputing!.at(-1)].filter((change) => change !== undefined);
}

async function fittingChanges(
  kinds: readonly (readonly Change[])[],
  search: SettingSearch,
  most: number,
): Promise<Setting[]> {
  const found: Setting[] = [];
  for (const changes of kinds) {
    if (found.length >= most) break;
    const setting = await mildestThatFits(changes, search);
    if (setting !== null) found.push(setting);
  }
  return found;
}

/** Stronger changes need less, as far as they can be had: a search by halves. */
async function mildestThatFits(changes: readonly Change[], search: SettingSearch): Promise<Setting | null> {
  let best: Setting | null = null;
  let [begin, end] = [0, changes.length];
  while (begin < end) {
    const middle = Math.floor((begin + end) / 2);
    const change = changes[middle]!;
    const bytes = await bytesOf(change.jobSpec, search);
    if (bytes !== null && bytes > search.limitOf(change.jobSpec)) {
      begin = middle + 1;
      continue;
    }
    // What cannot be had is too strong.
    if (bytes !== null) best = { text: change.text, bytes };
    end = middle;
  }
  return best;
}

/** What a rank needs; null: the job cannot be had. */
async function bytesOf(jobSpec: JobSpec, { replan }: SettingSearch): Promise<number | null> {
  try {
    return neededBytes(await replan(jobSpec));
  } catch (error) {
    if (error instanceof LongscanError) return null;
    throw error;
  }
}
