import { dtypeBytes } from '@longscan/kernels';
import {
  checkpointName,
  type DurableFs,
  nodeFs,
  type SaveContext,
  saveCheckpoint,
} from '../checkpoint/index.js';
import { enterPhase } from '../control/progress.js';
import type { Assignment } from '../protocol/assignment.js';
import type { Plan } from '../protocol/plan.js';
import type { RankContext, RankControl } from '../rank-context.js';
import { gatherMoments } from './gather-moments.js';
import { gatherValues } from './over-ranks.js';
import { checkpointContent } from './train-state.js';
import type { Training } from './training.js';

/** What saving takes of a rank. */
interface SavingRank extends Pick<RankContext, 'progress' | 'runDir'> {
  readonly assignment: Pick<Assignment, 'jobHash' | 'codeHashes'>;
  readonly control: Pick<RankControl, 'report' | 'checkpointSaved'>;
}

/** What the manifest says of the data. */
type DataContext = Pick<SaveContext, 'data' | 'texts'>;

/**
 * Saves a training's checkpoints. Rank 0 alone writes, the others give it what it lacks, and all go on when it has saved, as the
 * coordinator tells them. What a rank enqueued before would wait for the others on its device, where a collective's deadline
 * counts, however slow a disk or the coordinator is, and on a GPU in front of what rank 0 is given (comm/README.md). Every rank
 * calls `save` at the same place between two steps.
 */
export class CheckpointSaver {
  /** Folder of the last checkpoint that this rank wrote or went on from; null: there is none. */
  last: string | null = null;
  /** Step of the last one, on every rank. */
  private lastStep = -1;

  constructor(
    private readonly context: SavingRank,
    private readonly plan: Pick<Plan, 'jobSpec' | 'mesh'>,
    private readonly training: Training,
    private readonly fs: DurableFs = nodeFs,
  ) {}

  /** The training goes on from this checkpoint. */
  goesOnFrom(folder: string, step: number): void {
    this.last = folder;
    this.lastStep = step;
  }

  /** @throws LongscanError E-DISK on rank 0; E-RANK-ABORT where the job ends before all have saved; what failed on this rank's device */
  async save(step: number, data: DataContext): Promise<void> {
    const { runDir, control, progress } = this.context;
    if (runDir === null || this.lastStep === step) return;
    this.lastStep = step;
    const start = performance.now();
    const { mesh, optimizer, parameters, device } = this.training;
    enterPhase(progress, 'checkpoint');
    parameters.awaitUpdates();
    gatherValues(this.training);
    const shards = gatherMoments(mesh.world, optimizer);
    if (shards === null) {
      // An error of this rank's own is told by it, and not by who waits for it.
      await Promise.all([device.compute.sync(), mesh.world?.stream.sync()]);
    } else {
      this.last = await this.write(runDir, shards, step, data);
      control.report({
        type: 'checkpoint',
        step,
        name: checkpointName(step),
        bytes: parameters.size * (dtypeBytes[parameters.dtype] + 2 * dtypeBytes[optimizer.moments.m.dtype]),
        saveMs: performance.now() - start,
      });
    }
    if (mesh.world !== null) await control.checkpointSaved();
  }

  /** Releases `shards`. */
  private async write(
    runDir: string,
    shards: readonly Training['optimizer']['moments'][],
    step: number,
    data: DataContext,
  ): Promise<string> {
    const { parameters, carry } = this.training;
    const { jobSpec, mesh } = this.plan;
    const { jobHash, codeHashes } = this.context.assignment;
    try {
      return await saveCheckpoint(
        runDir,
        checkpointContent(parameters, shards, carry),
        { step, world: { sp: mesh.sp, dp: mesh.dp }, jobSpec, jobHash: jobHash ?? '', codeHashes, ...data },
        { keep: jobSpec.checkpoint.keep, fs: this.fs },
      );
    } finally {
      for (const { m, v } of shards) {
        m.release();
        v.release();
      }
    }
  }
}
