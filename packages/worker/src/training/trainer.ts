import { saveCheckpoint } from '../checkpoint/index.js';
import { enterPhase, enterStep } from '../control/progress.js';
import { bigramEntropy, DataLoader } from '../data/index.js';
import { learningRate } from '../optim/schedule.js';
import type { TrainResult } from '../protocol/messages.js';
import type { Plan } from '../protocol/plan.js';
import { planOf, type RankContext } from '../rank-context.js';
import { gatherMoments } from './gather-moments.js';
import { closeTraining, openTraining } from './open-training.js';
import { checkpointContent, restore } from './train-state.js';
import {
  assertFinite,
  type StepResult,
  type StopWish,
  type Training,
  trainStep,
  validate,
} from './train-step.js';

/** The `train` task: this rank's part of a job, from the plan to the last checkpoint. */
export async function runTraining(context: RankContext): Promise<void> {
  const trainer = await Trainer.open(context, planOf(context));
  try {
    const result = await trainer.run();
    context.control.report({ type: 'done', result: { ...result } });
  } finally {
    trainer.close();
  }
}

class Trainer {
  /** Optimizer steps done. */
  private step = 0;
  private wish: StopWish = { stop: false, save: false };
  private lastCheckpoint: string | null = null;
  private checkpointStep = -1;
  private validationLoss: number | null = null;
  private validationStep = -1;
  private readonly baseline: number | null;

  private constructor(
    private readonly context: RankContext,
    private readonly plan: Plan,
    private readonly training: Training,
    private readonly data: DataLoader,
  ) {
    const wantsBaseline = plan.jobSpec.data.baseline === 'bigram' && context.env.rank === 0;
    this.baseline = wantsBaseline ? bigramEntropy(data.trainingText) : null;
    context.control.onStop(({ save }) => {
      this.wish = { stop: true, save };
    });
  }

  /** Device, groups, model and data of this rank; parameters from the seed or from the checkpoint to resume. */
  static async open(context: RankContext, plan: Plan): Promise<Trainer> {
    // Before anything is opened: a missing text is known at once.
    const data = new DataLoader(plan, context.env.rank);
    const trainer = new Trainer(context, plan, await openTraining(context, plan), data);
    await trainer.restoreOrInitialise();
    return trainer;
  }

  async run(): Promise<TrainResult> {
    const { steps } = this.plan.jobSpec.job;
    while (this.step < steps && !(await this.trainOneStep())) await this.afterStep();
    const stopped = this.step < steps;
    if (!stopped || this.wish.save) await this.save();
    if (!stopped) await this.validate();
    enterPhase(this.context.progress, 'finished');
    this.logOpTimes();
    return { step: this.step, validationLoss: this.validationLoss, checkpoint: this.lastCheckpoint };
  }

  close(): void {
    closeTraining(this.training);
    this.data.close();
  }

  private async restoreOrInitialise(): Promise<void> {
    const { parameters, optimizer, carry } = this.training;
    const { resumeFrom } = this.context.assignment;
    if (resumeFrom === null) {
      parameters.initialise(this.plan.jobSpec.job.seed);
      return;
    }
    this.step = await restore(resumeFrom, parameters, optimizer, this.context.env.rank === 0 ? carry : null);
    this.lastCheckpoint = resumeFrom;
    this.checkpointStep = this.step;
    this.context.log(`continues after step ${this.step} from ${resumeFrom}`);
  }

  /** Returns true if all ranks stop after this step. */
  private async trainOneStep(): Promise<boolean> {
    const { job, optimizer } = this.plan.jobSpec;
    const { progress } = this.context;
    const number = this.step + 1;
    enterStep(progress, number);
    enterPhase(progress, 'data');
    const start = performance.now();
    const batches = this.data.trainingBatches(this.step);
    this.training.carry?.startStep(this.data.tokensBefore(this.step));
    enterPhase(progress, 'forward');
    const waitedBefore = this.training.mesh.sp?.stream.waitedMs() ?? 0;
    const lr = learningRate(optimizer, number, job.steps);
    const result = await trainStep(this.training, batches, number, lr, this.wish);
    // Under the masked objective most tokens have no label, but all of them are read.
    const isMasked = this.plan.jobSpec.model.objective === 'masked';
    const numTokens = isMasked ? this.data.numTokens(this.step) : batches[0]!.numValidTokens;
    this.report(number, result, lr, numTokens, performance.now() - start, waitedBefore);
    assertFinite(number, result);
    this.step = number;
    if (result.stop) this.wish = { stop: true, save: result.save };
    return result.stop;
  }

  private async afterStep(): Promise<void> {
    const { checkpoint, data, job } = this.plan.jobSpec;
    const isLast = this.step === job.steps;
    if (isLast) return;
    if (checkpoint.every > 0 && this.step % checkpoint.every === 0) await this.save();
    if (data.validateEvery > 0 && this.step % data.validateEvery === 0) await this.validate();
  }

  private async validate(): Promise<void> {
    if (this.validationStep === this.step) return;
    enterPhase(this.context.progress, 'validation');
    const loss = await validate(this.training, this.data.validationBatches());
    this.validationLoss = Number.isFinite(loss) ? loss : null;
    this.validationStep = this.step;
    if (this.context.env.rank !== 0 || Number.isNaN(loss)) return;
    this.context.control.report({
      type: 'validation',
      step: this.step,
      validationLoss: this.validationLoss,
      bigramEntropy: this.baseline,
    });
  }

  /** Rank 0 alone writes; the others give it their moments, if it lacks them, and meet it again in the next collective. */
  private async save(): Promise<void> {
    const { runDir, assignment, control } = this.context;
    if (runDir === null || this.checkpointStep === this.step) return;
    this.checkpointStep = this.step;
    const start = performance.now();
    const { parameters, optimizer, carry } = this.training;
    const shards = gatherMoments(this.training.mesh.world, optimizer);
    if (shards === null) return;
    enterPhase(this.context.progress, 'checkpoint');
    const content = checkpointContent(parameters, shards, carry);
    const { jobSpec, mesh } = this.plan;
    const saved = {
      step: this.step,
      world: { sp: mesh.sp, dp: mesh.dp },
      jobSpec,
      jobHash: assignment.jobHash ?? '',
      codeHashes: assignment.codeHashes,
      data: this.data.position(this.step),
    };
    this.lastCheckpoint = await saveCheckpoint(runDir, content, saved, { keep: jobSpec.checkpoint.keep });
    for (const { m, v } of shards) {
      m.release();
      v.release();
    }
    const bytes = 3 * parameters.values.bytes;
    const saveMs = performance.now() - start;
    control.report({
      type: 'checkpoint',
      step: this.step,
      name: this.lastCheckpoint.split('/').at(-1)!,
      bytes,
      saveMs,
    });
  }

  private report(
    step: number,
    result: StepResult,
    lr: number,
    tokens: number,
    stepMs: number,
    waitedBefore: number,
  ): void {
    const { device, mesh } = this.training;
    this.context.control.report({
      type: 'step',
      step,
      loss: Number.isFinite(result.loss) ? result.loss : null,
      gradNorm: result.clip.isFinite ? result.clip.norm : null,
      lr,
      tokens,
      stepMs,
      spExposedMs: (mesh.sp?.stream.waitedMs() ?? 0) - waitedBefore,
      spBytesSentForward: result.spBytesSentForward,
      spBytesSentBackward: result.spBytesSentBackward,
      peakBytes: device.memory().peakBytes,
      mfu: null,
      extra: {},
    });
  }

  /** Where the time went, by native function, in this rank's log. */
  private logOpTimes(): void {
    const times = Object.entries(this.training.device.compute.opTimes()).sort(([, a], [, b]) => b.ms - a.ms);
    for (const [op, { count, ms }] of times.slice(0, 24)) {
      this.context.log(`${op}: ${ms.toFixed(1)} ms in ${count} calls`);
    }
  }
}
