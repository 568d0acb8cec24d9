import { peakFlopsOf } from '../bench/peak-flops.js';
import { enterPhase, enterStep } from '../control/progress.js';
import { bigramEntropy, DataLoader } from '../data/index.js';
import { learningRate } from '../optim/schedule.js';
import type { TrainResult } from '../protocol/messages.js';
import type { Plan } from '../protocol/plan.js';
import { planOf, type RankContext } from '../rank-context.js';
import { RunTrace } from '../trace/run-trace.js';
import type { StepTimes } from '../trace/step-tracer.js';
import { CheckpointSaver } from './checkpoint-saver.js';
import { flopsPerRank, modelFlopsPerToken } from './model-flops.js';
import { closeTraining, leaveRanks, openTraining, refuseDiverged } from './open-training.js';
import { explainShortage } from './out-of-memory.js';
import { restore } from './train-state.js';
import { maxUnderWay, type StepResult, type StopWish, trainStep, validate } from './train-step.js';
import type { Training } from './training.js';

/** The `train` task: this rank's part of a job, from the plan to the last checkpoint. */
export async function runTraining(context: RankContext): Promise<void> {
  const plan = planOf(context);
  const trainer = await Trainer.open(context, plan);
  try {
    const result = await trainer.run();
    context.control.report({ type: 'done', result: { ...result } });
  } catch (error) {
    throw await explainShortage(error, plan, trainer.training.device, context.assignment.layerModules);
  } finally {
    trainer.close();
  }
}

interface StepUnderWay {
  readonly number: number;
  readonly lr: number;
  readonly numTokens: number;
  readonly result: Promise<StepResult>;
  readonly times: Promise<StepTimes>;
}

class Trainer {
  /** Optimizer steps done. */
  private step = 0;
  /** Steps that were enqueued after those and are not over, oldest first. */
  private readonly underWay: StepUnderWay[] = [];
  /** When the last result came. */
  private lastResultMs = 0;
  private wish: StopWish = { stop: false, save: false };
  /** What all ranks have agreed on: no more steps are enqueued. */
  private agreed: StopWish | null = null;
  private validationLoss: number | null = null;
  private validationStep = -1;
  private readonly baseline: number | null;
  private readonly trace: RunTrace;
  private readonly checkpoints: CheckpointSaver;

  private constructor(
    private readonly context: RankContext,
    private readonly plan: Plan,
    readonly training: Training,
    private readonly data: DataLoader,
    /** Of the model's definition, a step on this rank. */
    private readonly flopsPerStep: number,
  ) {
    const wantsBaseline = plan.jobSpec.data.baseline === 'bigram' && context.env.rank === 0;
    this.baseline = wantsBaseline ? bigramEntropy(data.trainingText) : null;
    const { runDir, env } = context;
    this.trace = new RunTrace({ training, rank: env.rank, runDir, window: plan.jobSpec.job.trace });
    this.checkpoints = new CheckpointSaver(context, plan, training);
    context.control.onStop(({ save }) => {
      this.wish = { stop: true, save };
    });
  }

  /** Device, groups, model and data of this rank; parameters from the seed or from the checkpoint to resume. */
  static async open(context: RankContext, plan: Plan): Promise<Trainer> {
    const { task } = context.assignment;
    if (task.kind !== 'train') throw new TypeError(`not a train task: ${task.kind}`);
    // Before anything else is opened: a missing text is known at once, and another than the other ranks have.
    const data = new DataLoader(plan, context.env.rank, task.texts);
    const flopsPerToken = await modelFlopsPerToken(plan, context.assignment.layerModules);
    const training = await openTraining(context, plan);
    const trainer = new Trainer(context, plan, training, data, flopsPerRank(flopsPerToken, plan));
    await trainer.restoreOrInitialise();
    return trainer;
  }

  async run(): Promise<TrainResult> {
    const { steps } = this.plan.jobSpec.job;
    for (;;) {
      this.enqueueSteps();
      const oldest = this.underWay.shift();
      if (oldest === undefined) break;
      await this.finish(oldest);
      if (this.underWay.length === 0 && this.agreed === null) await this.afterStep();
    }
    const stopped = this.step < steps;
    if (!stopped || this.agreed?.save) await this.save();
    if (!stopped) await this.validate();
    await leaveRanks(this.training);
    enterPhase(this.context.progress, 'finished');
    this.logOpTimes();
    return { step: this.step, validationLoss: this.validationLoss, checkpoint: this.checkpoints.last };
  }

  close(): void {
    this.trace.close();
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
    const carried = this.context.env.rank === 0 ? carry : null;
    const { step, moments } = await restore(resumeFrom, parameters, optimizer, carried);
    this.step = step;
    this.checkpoints.goesOnFrom(resumeFrom, step);
    this.context.log(`continues after step ${this.step} from ${resumeFrom}`);
    const { moments: held } = this.plan.jobSpec.optimizer;
    if (moments !== held) this.context.log(`its moments, in ${moments}, are held in ${held} from here on`);
  }

  /** Up to as many as may be under way, but none that would come between a step and what is to be done after it. */
  private enqueueSteps(): void {
    while (this.underWay.length < maxUnderWay(this.training.device) && this.agreed === null) {
      const last = this.step + this.underWay.length;
      const mustPause = this.underWay.length > 0 && (this.isSaveDue(last) || this.isValidationDue(last));
      if (last === this.plan.jobSpec.job.steps || mustPause) return;
      this.underWay.push(this.enqueue(last + 1));
    }
  }

  private enqueue(number: number): StepUnderWay {
    const { job, model, optimizer } = this.plan.jobSpec;
    const { progress } = this.context;
    const { training, data } = this;
    if (this.underWay.length === 0) this.lastResultMs = performance.now();
    const tracing = this.trace.begin(number);
    enterStep(progress, number);
    enterPhase(progress, 'data');
    tracing.enterHost('data');
    const batches = data.trainingBatches(number - 1);
    training.carry?.startStep(data.tokensBefore(number - 1));
    enterPhase(progress, 'forward');
    tracing.enterHost('enqueue');
    const lr = learningRate(optimizer, number, job.steps);
    const result = trainStep(training, batches, number, lr, this.wish);
    const times = tracing.end();
    // An earlier step that fails is told first, and this one with it.
    for (const promise of [result, times]) promise.catch(() => undefined);
    // Under the masked objective most tokens have no label, but all of them are read.
    const isMasked = model.objective === 'masked';
    const numTokens = isMasked ? data.numTokens(number - 1) : batches[0]!.numValidTokens;
    return { number, lr, numTokens, result, times };
  }

  private async finish(step: StepUnderWay): Promise<void> {
    const result = await step.result;
    const before = this.lastResultMs;
    this.lastResultMs = performance.now();
    const { spExposedMs, traced } = await step.times;
    this.report(step, result, this.lastResultMs - before, spExposedMs);
    if (traced !== null) this.trace.write(traced);
    await refuseDiverged(this.training, step.number, result);
    this.step = step.number;
    if (result.stop) this.agreed = { stop: true, save: result.save && this.agreed?.save !== false };
  }

  private isSaveDue(step: number): boolean {
    const { every } = this.plan.jobSpec.checkpoint;
    return every > 0 && step % every === 0;
  }

  private isValidationDue(step: number): boolean {
    const { validateEvery } = this.plan.jobSpec.data;
    return validateEvery > 0 && step % validateEvery === 0;
  }

  private async afterStep(): Promise<void> {
    if (this.step === this.plan.jobSpec.job.steps) return;
    if (this.isSaveDue(this.step)) await this.save();
    if (this.isValidationDue(this.step)) await this.validate();
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

  private save(): Promise<void> {
    return this.checkpoints.save(this.step, { data: this.data.position(this.step), texts: this.data.texts });
  }

  private report(
    { number, lr, numTokens }: StepUnderWay,
    result: StepResult,
    stepMs: number,
    spExposedMs: number,
  ): void {
    const { device } = this.training;
    const peak = peakFlopsOf(device, this.plan.jobSpec.model.precision);
    this.context.control.report({
      type: 'step',
      step: number,
      loss: Number.isFinite(result.loss) ? result.loss : null,
      gradNorm: result.clip.isFinite ? result.clip.norm : null,
      lr,
      tokens: numTokens,
      stepMs,
      spExposedMs,
      spBytesSentForward: result.spBytesSentForward,
      spBytesSentBackward: result.spBytesSentBackward,
      peakBytes: device.memory().peakBytes,
      mfu: peak && this.flopsPerStep / (stepMs / 1000) / peak,
      extra: {},
    });
  }

  /** Where the time went, by native function, in this rank's log; on a GPU that would be what launching took. */
  private logOpTimes(): void {
    if (this.training.device.kind === 'cuda') return;
    const times = Object.entries(this.training.device.compute.opTimes()).sort(([, a], [, b]) => b.ms - a.ms);
    for (const [op, { count, ms }] of times.slice(0, 24)) {
      this.context.log(`${op}: ${ms.toFixed(1)} ms in ${count} calls`);
    }
  }
}
