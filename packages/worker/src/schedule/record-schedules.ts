import type { AttentionStrategy } from '../attention-strategy.js';
import type { Plan } from '../protocol/plan.js';
import { loadUnits, type PlannedUnits } from '../training/assemble-training.js';
import { numberedEntries, wholeStep } from './numbered-entries.js';
import { RankTemplate } from './rank-template.js';
import { RecordedRank } from './recorded-rank.js';
import type { Schedule } from './schedule.js';

export interface RecordOptions {
  /** Sequences have the boundaries of documents that the job's text may have; false: none, as random tokens. Default: true. */
  readonly documents?: boolean;
}

/** Up to here every rank is run by itself. */
const mostInFull = 8;

/**
 * What each rank of a plan enqueues in a training step that follows others, in rank order: the worker's own step, on a shape
 * device that notes its native calls. Of many ranks one runs for all that do the same. `modules`: bundled module of each
 * layer file outside the packages. Opens no native file.
 */
export async function recordSchedules(
  plan: Plan,
  modules: Readonly<Record<string, string>> = {},
  options: RecordOptions = {},
): Promise<readonly Schedule[]> {
  const { numRanks } = plan.mesh;
  const units = await loadUnits(plan, modules);
  if (numRanks <= mostInFull) return recordInFull(plan, units, options);
  return recordShared(plan, units, options);
}

/** Every rank by itself. */
export async function recordInFull(
  plan: Plan,
  units: PlannedUnits,
  { documents = true }: RecordOptions = {},
): Promise<Schedule[]> {
  const schedules: Schedule[] = [];
  for (let rank = 0; rank < plan.mesh.numRanks; rank++) {
    const recorded = new RecordedRank(plan, units, rank, documents);
    const { recorder } = recorded;
    const before = await recorded.settle();
    await recorded.enqueueStep();
    const entries = numberedEntries([{ entries: recorder.take(), scope: wholeStep }], before);
    schedules.push({ streams: recorder.streams, entries });
  }
  return schedules;
}

/**
 * The first, the last and one of the other ranks of a sequence for all of them, and one sequence for all of them. Where
 * ranks do different things outside of scans, each by itself.
 */
export async function recordShared(
  plan: Plan,
  units: PlannedUnits,
  options: RecordOptions = {},
): Promise<Schedule[]> {
  const { jobSpec, mesh } = plan;
  const { documents = true } = options;
  // Deterministic mode sums gradients along trees of ranks.
  if (jobSpec.job.deterministic) return recordInFull(plan, units, options);
  let attends = false;
  const attend: AttentionStrategy['attend'] = (...args) => {
    attends = true;
    return units.attention.attend(...args);
  };
  const watched = { ...units, attention: { ...units.attention, attend } };
  const record = (spRank: number, spRanks: readonly number[]) =>
    RankTemplate.record(plan, watched, spRank, spRanks, documents);
  const first = await record(0, [0]);
  // Softmax attention and what reads in both directions have other work on every rank.
  const allDiffer = attends || jobSpec.model.objective === 'masked';
  const templates = [first];
  if (allDiffer) {
    for (let spRank = 1; spRank < mesh.sp; spRank++) templates.push(await record(spRank, [spRank]));
  } else {
    const others = Array.from({ length: Math.max(0, mesh.sp - 2) }, (_, i) => i + 1);
    if (others.length > 0) {
      const template = await record(1, others);
      for (const _ of others) templates.push(template);
    }
    if (mesh.sp > 1) templates.push(await record(mesh.sp - 1, [mesh.sp - 1]));
  }
  return Array.from({ length: mesh.numRanks }, (_, rank) => templates[rank % mesh.sp]!.scheduleOf(rank));
}
