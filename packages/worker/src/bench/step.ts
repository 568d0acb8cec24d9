import { enterPhase, enterStep } from '../control/progress.js';
import { traceModel } from '../model/trace.js';
import { learningRate } from '../optim/schedule.js';
import type { Task } from '../protocol/assignment.js';
import type { Plan } from '../protocol/plan.js';
import { planOf, type RankContext } from '../rank-context.js';
import { closeTraining, openTraining } from '../training/open-training.js';
import { assertFinite, type StepResult, type Training, trainStep } from '../training/train-step.js';
import { machineOf } from './machine.js';
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
  } finally {
    closeTraining(training);
  }
}

async function benchSteps(
  context: RankContext,
  plan: Plan,
  training: Training,
  { numWarmUps, numSteps }: BenchTask,
): Promise<Record<string, unknown>> {
  const { device, parameters } = training;
  parameters.initialise(plan.jobSpec.job.seed);
  const step = stepper(context, plan, training);
  for (let i = 0; i < numWarmUps; i++) await step();
  context.log(`${numWarmUps} steps to warm up are done`);
  device.memory({ resetPeak: true });
  // A lap lasts to the next step's start: what the host takes between two steps is part of it.
  const laps: number[] = [];
  let stop = device.compute.stopwatch();
  for (let i = 0; i < numSteps; i++) {
    await step();
    const lap = stop();
    stop = device.compute.stopwatch();
    laps.push(await lap);
  }
  await stop();
  const { peakBytes, reservedBytes } = device.memory();
  const endProfile = device.compute.profile();
  const { loss } = await step();
  const profile = await endProfile();
  return {
    ...{ laps, loss, peakBytes, reservedBytes, numParameters: parameters.numParameters },
    flopsPerToken: await modelFlopsPerToken(context, plan),
    peakFlops: peakFlopsOf(device, plan.jobSpec.model.precision),
    profile: { ...profile, shares: sharesOf(profile) },
    machine: machineOf(device, context.env.numThreads),
  };
}

/** Runs one step after the other on the same batch. */
function stepper(context: RankContext, plan: Plan, training: Training): () => Promise<StepResult> {
  const { job, optimizer, data } = plan.jobSpec;
  const batches = randomBatches(plan, context.env.rank);
  let number = 0;
  return async () => {
    training.carry?.startStep(number * data.sequenceLength);
    number++;
    enterStep(context.progress, number);
    enterPhase(context.progress, 'forward');
    const lr = learningRate(optimizer, Math.min(number, job.steps), job.steps);
    const result = await trainStep(training, batches, number, lr, { stop: false, save: false });
    assertFinite(number, result);
    return result;
  };
}

/** Of forward and backward pass as the model's own code counts them, with nothing computed twice. */
async function modelFlopsPerToken({ assignment }: RankContext, plan: Plan): Promise<number> {
  const { jobSpec, mesh, sequencesPerRank, slices } = plan;
  const sizes = {
    numSequences: sequencesPerRank / jobSpec.data.accumulate,
    sliceLength: slices[0]!.length,
    numSlices: mesh.sp,
    modules: assignment.layerModules,
  };
  const { flopsPerToken } = await traceModel(
    { ...jobSpec, model: { ...jobSpec.model, recompute: false } },
    sizes,
  );
  return flopsPerToken;
}
