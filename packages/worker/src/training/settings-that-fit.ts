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
  /** What a rank of the job as it is needs. */
  readonly neededBytes: number;
  /** Plans a changed job. Errors say that it cannot be had. */
  readonly replan: (jobSpec: JobSpec) => Promise<Plan>;
  /** A plan for its memory alone, which is that of `replan` or somewhat less; null, or left out: `replan` is as quick. */
  readonly estimate?: (jobSpec: JobSpec) => Promise<Plan> | null;
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
  const needs = new Needs(search);
  const found = await fittingChanges(changesOf(jobSpec), search.neededBytes, needs, numWanted);
  for (const first of strongest(jobSpec)) {
    if (found.length >= numWanted) break;
    const needed = await needs.of(first);
    if (needed === null) continue;
    const rest = changesOf(first.jobSpec).map((changes) =>
      changes.map(({ text, jobSpec: job }) => ({ text: `${first.text} with ${text}`, jobSpec: job })),
    );
    found.push(...(await fittingChanges(rest, needed, needs, numWanted - found.length)));
  }
  return found;
}

/** Words for them. */
export function adviceOf(settings: readonly Setting[]): string {
  if (settings.length === 0) {
    return 'a smaller model, or parallel.zero = 1 over more ranks: shorter slices, of ranks or in time, smaller batches, model.recompute and optimizer.moments are not enough';
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
  needed: number,
  needs: Needs,
  most: number,
): Promise<Setting[]> {
  const found: Setting[] = [];
  for (const changes of kinds) {
    if (found.length >= most) break;
    const setting = await mildestThatFits(changes, needed, needs);
    if (setting !== null) found.push(setting);
  }
  return found;
}

/** Beyond so many times the limit an estimate, which may lie below the need, is enough to know that a job does not fit. */
const beyond = 1.01;

/**
 * What the jobs that were tried need: planning one takes long, so none is planned twice, and those that clearly do not fit are
 * only estimated.
 */
class Needs {
  readonly #known = new Map<string, number | null>();

  constructor(private readonly search: SettingSearch) {}

  /** Bytes of a rank; null: the job cannot be had. */
  async of({ text, jobSpec }: Change): Promise<number | null> {
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    const { estimate, replan, limitOf } = this.search;
    const plan = estimate?.(jobSpec) ?? null;
    const estimated = plan && (await bytesOf(plan));
    const isBeyond = estimated !== null && estimated > beyond * limitOf(jobSpec);
    const bytes = isBeyond ? estimated : await bytesOf(replan(jobSpec));
    this.#known.set(text, bytes);
    return bytes;
  }

  limitOf({ jobSpec }: Change): number {
    return this.search.limitOf(jobSpec);
  }
}

/** What a rank needs by a plan; null: it cannot be had. */
async function bytesOf(planned: Promise<Plan>): Promise<number | null> {
  try {
    return neededBytes(await planned);
  } catch (error) {
    if (error instanceof LongscanError) return null;
    throw error;
  }
}

/**
 * The first change with which a job fits. Stronger ones need less, as far as they can be had, so that the place is searched
 * between those that do not fit and those that do or cannot be had; where next, the needs that are known tell. `needed`: without
 * any change.
 */
async function mildestThatFits(
  changes: readonly Change[],
  needed: number,
  needs: Needs,
): Promise<Setting | null> {
  let best: Setting | null = null;
  let [begin, end] = [0, changes.length];
  const known: Need[] = [{ index: -1, bytes: needed }];
  while (begin < end) {
    const limit = needs.limitOf(changes[begin]!);
    const index = Math.min(Math.max(likelyIndex(known, limit), begin), end - 1);
    const change = changes[index]!;
    const bytes = await needs.of(change);
    if (bytes !== null) known.push({ index, bytes });
    if (bytes !== null && bytes > needs.limitOf(change)) {
      begin = index + 1;
      continue;
    }
    // What cannot be had is too strong.
    if (bytes !== null) best = { text: change.text, bytes };
    end = index;
  }
  return best;
}

/** What a rank needs with a change; -1: with none. */
interface Need {
  readonly index: number;
  readonly bytes: number;
}

/**
 * The change with which a rank's need is likely to fall to `limit`, by the last two needs: each halves what changes take hold
 * of, beside which there is what none of them does. Infinite where that alone is too much: then the strongest shows whether any fits.
 */
function likelyIndex(known: readonly Need[], limit: number): number {
  const [a, b] = known.length === 1 ? [undefined, known[0]!] : [known.at(-2)!, known.at(-1)!];
  const part = ({ index }: Need) => 2 ** -(index + 1);
  const halved = a === undefined ? b.bytes : (a.bytes - b.bytes) / (part(a) - part(b));
  const fixed = b.bytes - halved * part(b);
  if (!(halved > 0) || fixed >= limit) return Number.POSITIVE_INFINITY;
  return Math.ceil(Math.log2(halved / (limit - fixed))) - 1;
}
