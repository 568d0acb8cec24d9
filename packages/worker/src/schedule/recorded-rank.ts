import { openShapeDevice } from '@longscan/kernels';
import type { Plan } from '../protocol/plan.js';
import type { PlannedUnits } from '../training/assemble-training.js';
import { Recorder } from './recorder.js';
import type { ScheduleEntry } from './schedule.js';
import { ShapeRank } from './shape-rank.js';

/** One rank of a plan on a shape device, and what notes its native calls. */
export class RecordedRank extends ShapeRank {
  readonly recorder: Recorder;

  /** `documents`: as `blankBatches` has it. */
  constructor(plan: Plan, units: PlannedUnits, rank: number, documents: boolean) {
    const recorder = new Recorder(() => device.flops);
    const device = openShapeDevice({ observe: recorder.observe });
    super(device, plan, units, rank, documents);
    this.recorder = recorder;
  }

  /** Enqueues steps until they are alike; gives what the last of them enqueued. */
  async settle(): Promise<readonly ScheduleEntry[]> {
    for (let step = 0; step < this.numStepsToSettle; step++) {
      this.recorder.take();
      await this.enqueueStep();
    }
    return this.recorder.take();
  }
}
