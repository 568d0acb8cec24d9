import type { OpProfile } from '@longscan/kernels';
import { enterPhase, enterStep } from '../control/progress.js';
import type { Batch } from '../data/index.js';
import { learningRate } from '../optim/schedule.js';
import type { Task } from '../protocol/assignment.js';
import type { Plan } from '../protocol/plan.js';
import { planOf, type RankContext } from '../rank-context.js';
import { StepTracer } from '../trace/step-tracer.js';
import { modelFlopsPerToken } from '../training/model-flops.js';
import { closeTraining, openTraining } from '../training/open-training.js';
import { explainShortage } from '../training/out-of-memory.js';
import {
  assertFinite,
  maxUnderWay,
  type StepResult,
  type Training,
  trainStep,
} from '../training/train-step.js';
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
  try {
    context.control.report({ type: 'done', result: await benchSteps(context, plan, training, task) });
  } catch (error) {
    throw await explainShortage(error, plan, training.device, context.assignment.layerModules);
  } finally {
    closeTraining(training);
  }
}

async function benchSteps(
  context: RankContext,
  plan: Plan,
  training: Training,
  { numWarmUps, numSteps, numProfiled = 1 }: BenchTask,
): Promise<Record<string, unknown>> {
  const { device, parameters } = training;
  parameters.initialise(plan.jobSpec.job.seed);
  const steps = new Steps(context, plan, training);
  for (let i = 0; i < numWarmUps; i++) await steps.next();
  await steps.finish();
  context.log(`${numWarmUps} steps to warm up are done`);
  device.memory({ resetPeak: true });
  // A lap ends where the next one begins: what the device waits for between two steps is part of it.
  const laps: Promise<Lap>[] = [];
  const before = process.cpuUsage();
  let stop = startLap(training);
  for (let i = 0; i < numSteps; i++) {
    await steps.next(() => {
      const lap = stop();
      // Whatever fails a lap fails its step, which is told.
      lap.catch(() => undefined);
      laps.push(lap);
      stop = startLap(training);
    });
  }
  await Promise.all([steps.finish(), stop()]);
  const { user, system } = process.cpuUsage(before);
  const { peakBytes, reservedBytes } = device.memory();
  const profiles: StepProfile[] = [];
  for (let i = 0; i < numProfiled; i++) profiles.push(await profileStep(training, steps));
  const { result, beside } = profiles.at(-1)!;
  const profile = medianProfile(profiles.map((one) => one.profile));
  const times = await Promise.all(laps);
  return {
    coreMs: (user + system) / 1000 / numSteps,
    processBytes: 1024 * process.resourceUsage().maxRSS,
    ...{ laps: times.map(({ ms }) => ms), spExposedMs: times.map(({ spExposedMs }) => spExposedMs) },
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
interface Lap {
  readonly ms: number;
  readonly spExposedMs: number;
}

/** A lap from here to where the returned function is called, both in the order of the compute stream. */
function startLap(training: Training): () => Promise<Lap> {
  const stop = training.device.compute.stopwatch();
  const tracing = new StepTracer(training, null).begin(0);
  return async () => {
    const [{ spExposedMs }, ms] = await Promise.all([tracing.end(), stop()]);
    return { ms, spExposedMs };
  };
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

/** One step after the other on the same batch, as many under way as when training. */
class Steps {
  private readonly batches: readonly Batch[];
  private readonly underWay: Promise<StepResult>[] = [];
  private number = 0;

  constructor(
    private readonly context: RankContext,
    private readonly plan: Plan,
    private readonly training: Training,
  ) {
    this.batches = randomBatches(plan, context.env.rank);
    enterPhase(context.progress, 'forward');
  }

  /** Enqueues a step, then `marker`, and waits until another one may follow. */
  async next(marker: () => void = () => {}): Promise<void> {
    this.underWay.push(this.enqueue());
    marker();
    if (this.underWay.length === maxUnderWay(this.training.device)) await this.underWay.shift();
  }

  async finish(): Promise<void> {
    for (const step of this.underWay.splice(0)) await step;
  }

  enqueue(): Promise<StepResult> {
    const { context, training, batches } = this;
    const { job, optimizer, data } = this.plan.jobSpec;
    training.carry?.startStep(this.number * data.sequenceLength);
    const number = ++this.number;
    enterStep(context.progress, number);
    const lr = learningRate(optimizer, Math.min(number, job.steps), job.steps);
    const checked = trainStep(training, batches, number, lr, { stop: false, save: false }).then((result) => {
      assertFinite(number, result);
      return result;
    });
    // An earlier step that fails is told first, and this one with it.
    checked.catch(() => undefined);
    return checked;
  }
}
