import type { OpProfile } from '@longscan/kernels';
import { enterPhase, enterStep } from '../control/progress.js';
import type { Batch } from '../data/index.js';
import { learningRate } from '../optim/schedule.js';
import type { Task } from '../protocol/assignment.js';
import type { Plan } from '../protocol/plan.js';
import { planOf, type RankContext } from '../rank-context.js';
import { RunTrace } from '../trace/run-trace.js';
import type { StepTimes } from '../trace/step-tracer.js';
import { modelFlopsPerToken } from '../training/model-flops.js';
import { closeTraining, leaveRanks, openTraining, refuseDiverged } from '../training/open-training.js';
import { explainShortage } from '../training/out-of-memory.js';
import { maxUnderWay, type StepResult, trainStep } from '../training/train-step.js';
import type { Training } from '../training/training.js';
import { machineOf } from './machine.js';
import { medianProfile } from './median-profile.js';
import { sharesOf } from './op-categories.js';
import { peakFlopsOf } from './peak-flops.js';
import { randomBatches } from './random-batch.js';

type BenchTask = Extract<Task, { kind: 'bench-step' }>;

/**
 * The `bench-step` task: whole training steps of a job's model on this rank, as the `train` task runs them, with random tokens
 * in place of a text.
 */
export async function runBenchStep(context: RankContext): Promise<void> {
  const { task } = context.assignment;
  if (task.kind !== 'bench-step') throw new TypeError(`not a bench-step task: ${task.kind}`);
  const plan = planOf(context);
  const training = await openTraining(context, plan);
  const { runDir, env } = context;
  const trace = new RunTrace({ training, rank: env.rank, runDir, window: task.trace ?? null });
  const steps = new Steps(context, plan, training, trace);
  try {
    context.control.report({ type: 'done', result: await benchSteps(context, plan, training, steps, task) });
  } catch (error) {
    throw await explainShortage(error, plan, training.device, context.assignment.layerModules);
  } finally {
    trace.close();
    closeTraining(training);
  }
}

async function benchSteps(
  context: RankContext,
  plan: Plan,
  training: Training,
  steps: Steps,
  { numWarmUps, numSteps, numProfiled = 1 }: BenchTask,
): Promise<Record<string, unknown>> {
  const { device, parameters } = training;
  parameters.initialise(plan.jobSpec.job.seed);
  for (let i = 0; i < numWarmUps; i++) await steps.next();
  await steps.finish();
  context.log(`${numWarmUps} steps to warm up are done`);
  device.memory({ resetPeak: true });
  // A lap ends where the next one begins: what the device waits for between two steps is part of it.
  const laps: Promise<Lap>[] = [];
  const before = process.cpuUsage();
  let stop = device.compute.stopwatch();
  for (let i = 0; i < numSteps; i++) {
    await steps.next((times) => {
      const lap = lapOf(stop(), times);
      // Whatever fails a lap fails its step, which is told.
      lap.catch(() => undefined);
      laps.push(lap);
      stop = device.compute.stopwatch();
    });
  }
  await Promise.all([steps.finish(), stop()]);
  const { user, system } = process.cpuUsage(before);
  const { peakBytes, reservedBytes } = device.memory();
  const profiles: StepProfile[] = [];
  for (let i = 0; i < numProfiled; i++) profiles.push(await profileStep(training, steps));
  await leaveRanks(training);
  const { result, beside } = profiles.at(-1)!;
  const profile = medianProfile(profiles.map((one) => one.profile));
  const times = await Promise.all(laps);
  return {
    coreMs: (user + system) / 1000 / numSteps,
    processBytes: 1024 * process.resourceUsage().maxRSS,
    laps: times.map(({ ms }) => ms),
    spExposedMs: times.map(({ spExposedMs }) => spExposedMs),
    gradientExposedMs: times.map(({ gradientExposedMs }) => gradientExposedMs),
    ...{ peakBytes, reservedBytes, loss: result.loss },
    spBytesSent: result.spBytesSentForward + result.spBytesSentBackward,
    numParameters: parameters.numParameters,
    flopsPerToken: await modelFlopsPerToken(plan, context.assignment.layerModules),
    peakFlops: peakFlopsOf(device, plan.jobSpec.model.precision),
    profile: { ...profile, shares: sharesOf(profile), beside },
    machine: machineOf(device, context.env.numThreads),
  };
}

/** From the end of one step to that of the next. */
interface Lap extends Omit<StepTimes, 'traced'> {
  readonly ms: number;
}

async function lapOf(lapMs: Promise<number>, times: Promise<StepTimes>): Promise<Lap> {
  const [ms, { traced: _, ...exposed }] = await Promise.all([lapMs, times]);
  return { ms, ...exposed };
}

interface StepProfile {
  readonly result: StepResult;
  readonly profile: OpProfile;
  /** By native function: what ran on a stream of its own beside the compute stream's work, which it slows down at most. */
  readonly beside: OpProfile['ops'];
}

/** A step behind another one: its work is there when the device comes to it, and the other one's update runs beside it. */
async function profileStep({ device, optimizer }: Training, steps: Steps): Promise<StepProfile> {
  const endBeside = optimizer.stream === device.compute ? null : optimizer.stream.profile();
  const before = steps.enqueue();
  const beside = endBeside?.();
  const end = device.compute.profile();
  const step = steps.enqueue();
  const [, result, profile, update] = await Promise.all([before, step, end(), beside]);
  const { streamWait: _, ...ops } = update?.ops ?? {};
  return { result, profile, beside: ops };
}

/** A step that is enqueued and not known to be over. */
interface StepUnderWay {
  readonly result: Promise<StepResult>;
  readonly times: Promise<StepTimes>;
}

/** One step after the other on the same batch, as many under way as when training. */
class Steps {
  private readonly batches: readonly Batch[];
  private readonly underWay: StepUnderWay[] = [];
  private number = 0;

  constructor(
    private readonly context: RankContext,
    private readonly plan: Plan,
    private readonly training: Training,
    private readonly trace: RunTrace,
  ) {
    this.batches = randomBatches(plan, context.env.rank);
    enterPhase(context.progress, 'forward');
  }

  /** Enqueues a step, then `marker`, which gets the step's times, and waits until another one may follow. */
  async next(marker: (times: Promise<StepTimes>) => void = () => {}): Promise<void> {
    const tracing = this.trace.begin(this.number + 1);
    tracing.enterHost('enqueue');
    const step = { result: this.enqueue(), times: tracing.end() };
    step.times.catch(() => undefined);
    this.underWay.push(step);
    marker(step.times);
    if (this.underWay.length === maxUnderWay(this.training.device)) await this.settle(this.underWay.shift()!);
  }

  async finish(): Promise<void> {
    for (const step of this.underWay.splice(0)) await this.settle(step);
  }

  private async settle({ result, times }: StepUnderWay): Promise<void> {
    const [{ traced }] = await Promise.all([times, result]);
    if (traced !== null) this.trace.write(traced);
  }

  enqueue(): Promise<StepResult> {
    const { context, training, batches } = this;
    const { job, optimizer, data } = this.plan.jobSpec;
    training.carry?.startStep(this.number * data.sequenceLength);
    const number = ++this.number;
    enterStep(context.progress, number);
    const lr = learningRate(optimizer, Math.min(number, job.steps), job.steps);
    const checked = trainStep(training, batches, number, lr, { stop: false, save: false }).then(
      async (result) => {
        await refuseDiverged(training, number, result);
        return result;
      },
    );
    // An earlier step that fails is told first, and this one with it.
    checked.catch(() => undefined);
    return checked;
  }
}
