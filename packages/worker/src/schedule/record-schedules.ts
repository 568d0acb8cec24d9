import type { Plan } from '../protocol/plan.js';
import { loadUnits, type PlannedUnits } from '../training/assemble-training.js';
import { numberedEntries } from './numbered-entries.js';
import { RecordedRank } from './recorded-rank.js';
import type { Schedule } from './schedule.js';

export interface RecordOptions {
  /** Sequences have the boundaries of documents that the job's text may have; false: none, as random tokens. Default: true. */
  readonly documents?: boolean;
}

/**
 * What each rank of a plan enqueues in a training step that follows others, in rank order: the worker's own step, on a shape
 * device that notes its native calls. `modules`: bundled module of each layer file outside the packages. Opens no native
 * file.
 */
export async function recordSchedules(
  plan: Plan,
  modules: Readonly<Record<string, string>> = {},
  { documents = true }: RecordOptions = {},
): Promise<readonly Schedule[]> {
  const units = await loadUnits(plan, modules);
  const schedules: Schedule[] = [];
  for (let rank = 0; rank < plan.mesh.numRanks; rank++) {
    schedules.push(await recordRank(plan, units, rank, documents));
  }
  return schedules;
}

async function recordRank(
  plan: Plan,
  units: PlannedUnits,
  rank: number,
  documents: boolean,
): Promise<Schedule> {
  const recorded = new RecordedRank(plan, units, rank, documents);
  const before = await recorded.settle();
  await recorded.enqueueStep();
  const entries = recorded.recorder.take();
  return { streams: recorded.recorder.streams, entries: numberedEntries([{ entries, scope: 0 }], before) };
}
