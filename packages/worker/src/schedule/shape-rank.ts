import type { Device, ShapeDevice } from '@longscan/kernels';
import type { Batch } from '../data/index.js';
import type { RankMesh } from '../mesh.js';
import type { Plan } from '../protocol/plan.js';
import { assembleTraining, type PlannedUnits } from '../training/assemble-training.js';
import { trainStep } from '../training/train-step.js';
import type { Training } from '../training/training.js';
import { blankBatches } from './blank-batches.js';
import { type ShapePlace, shapeGroup } from './shape-group.js';

/** One rank of a plan on a shape device: its own steps, with nobody at the other ends. */
export class ShapeRank {
  readonly training: Training;
  private readonly batches: readonly Batch[];
  private numSteps = 0;

  /** `device`: a new one; `documents`: as `blankBatches` has it. */
  constructor(
    readonly device: ShapeDevice,
    private readonly plan: Plan,
    units: PlannedUnits,
    rank: number,
    documents: boolean,
  ) {
    device.standsForGpu = plan.jobSpec.device.kind === 'cuda';
    this.training = assembleTraining(device, unconnectedMesh(device, plan, rank), plan, units, rank);
    this.batches = blankBatches(plan, rank, documents);
  }

  /**
   * Steps until each is like the one before it: the first has no update behind it, and memory that is carried enters the
   * second.
   */
  get numStepsToSettle(): number {
    return this.training.carry === null ? 1 : 2;
  }

  async enqueueStep(): Promise<void> {
    const { data } = this.plan.jobSpec;
    this.training.carry?.startStep(this.numSteps * data.sequenceLength);
    await trainStep(this.training, this.batches, ++this.numSteps, 1, { stop: false, save: false });
  }
}

/** Groups as `connectMesh` opens them, with nobody at the other ends. */
function unconnectedMesh(device: Device, { mesh: { sp, numRanks }, chains }: Plan, rank: number): RankMesh {
  const open = (axis: string, place: ShapePlace, id: number) =>
    place.size === 1 ? null : shapeGroup(device.createStream(axis, { urgent: true }), place, id);
  const world = open('world', { rank, size: numRanks, isMapped: false }, 0);
  const isMapped = chains?.carrier === 'mapped-memory';
  return { world, sp: open('sp', { rank: rank % sp, size: sp, isMapped }, 1), close() {} };
}
