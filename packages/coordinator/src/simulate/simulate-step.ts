import { type OpEntry, recordSchedules, type Schedule } from '@longscan/worker';
import type { Plan } from '@longscan/worker/protocol';
import type { ComputeCosts } from '../compute/compute-costs.js';
import { opSeconds } from '../compute/op-seconds.js';
import { unknownOps } from '../compute/unknown-ops.js';
import type { Fabric } from '../fabric/fabric.js';
import { engineOf } from './engine.js';
import { machineOf } from './machine.js';
import { programsOf } from './programs-of.js';
import { type SimulatedRank, type SimulateOptions, simulate } from './simulate.js';

export interface SimulatedStep {
  readonly seconds: number;
  /** Means over ranks: time in computation, and for which the compute stream stood still for states and for gradients. */
  readonly busyS: number;
  readonly exposedS: number;
  readonly exposedGradientS: number;
  readonly ranks: readonly SimulatedRank[];
  /** Worth telling the user, one sentence each. */
  readonly notes: readonly string[];
}

export interface StepCosts {
  /** Links between all ranks of the job, as many to a host as its `nodes` say. */
  readonly fabric: Fabric;
  readonly compute: ComputeCosts;
}

/**
 * The length of a training step of a plan: its own schedule, on machines with these costs.
 *
 * @param modules Bundled module of each layer file outside the packages, by the file's path.
 */
export async function simulateStep(
  plan: Plan,
  costs: StepCosts,
  modules: Readonly<Record<string, string>> = {},
  options: SimulateOptions = {},
): Promise<SimulatedStep> {
  return simulateSchedules(await recordSchedules(plan, modules, { documents: false }), plan, costs, options);
}

/** The same from schedules that are there. */
export function simulateSchedules(
  schedules: readonly Schedule[],
  { mesh, jobSpec }: Pick<Plan, 'mesh' | 'jobSpec'>,
  { fabric, compute }: StepCosts,
  options: SimulateOptions = {},
): SimulatedStep {
  const engine = engineOf(jobSpec);
  const machine = machineOf(engine, { fabric, compute });
  const secondsOf = (op: OpEntry) => opSeconds(compute, op);
  const program = { mesh, engine, fabric, secondsOf, enqueueS: compute.enqueueS } as const;
  const run = (numSteps: number, runOptions: SimulateOptions) =>
    simulate(programsOf(schedules, { ...program, numSteps }), machine, runOptions);
  const first = run(1, options);
  const { ranks } = first;
  // On a GPU a step is enqueued before the one in front of it is over: what counts is by how much it makes both longer.
  const seconds = jobSpec.device.kind === 'cuda' ? run(2, {}).seconds - first.seconds : first.seconds;
  const mean = (of: (rank: SimulatedRank) => number) =>
    ranks.reduce((sum, rank) => sum + of(rank), 0) / ranks.length;
  return {
    seconds,
    busyS: mean(({ busyS }) => busyS),
    exposedS: mean(({ stoodStillS }) => stoodStillS.sp ?? 0),
    exposedGradientS: mean(({ stoodStillS }) => stoodStillS.world ?? 0),
    ranks,
    notes: unknownOps(compute, schedules),
  };
}
