import type { Plan } from '../protocol/plan.js';
import { loadUnits } from '../training/assemble-training.js';
import { RecordedRank } from './recorded-rank.js';

/** Device memory of one rank. */
export interface RankMemory {
  readonly rank: number;
  readonly atRestBytes: number;
  readonly peakBytes: number;
  readonly reservedBytes: number;
  readonly communicationBytes: number;
}

export async function traceMemory(
  plan: Plan,
  modules: Readonly<Record<string, string>> = {},
  documents = true,
): Promise<RankMemory[]> {
  const units = await loadUnits(plan, modules);
  const all = [];
  for (let rank = 0; rank < plan.mesh.numRanks; rank++) {
    const recorded = new RecordedRank(plan, units, rank, documents);
    const { training } = recorded;
    const { device, mesh } = training;
    const atRestBytes = device.memory({ resetPeak: true }).inUseBytes;
    await recorded.settle();
    await recorded.enqueueStep();
    const { peakBytes, reservedBytes } = device.memory();
    const communicationBytes = [mesh.sp, mesh.world].reduce(
      (sum, group) => sum + (group === null ? 0 : recorded.device.peakBytesOf(group.stream)),
      0,
    );
    all.push({ rank, atRestBytes, peakBytes, reservedBytes, communicationBytes });
  }
  return all;
}
