import type { JobSpec, Plan } from '@longscan/worker/protocol';
import type { Gpu } from '../doctor/gpus.js';
import type { Fabric } from '../fabric/fabric.js';
import type { StepCosts } from '../simulate/simulate-step.js';

/** Bundled module of each layer file outside the packages, by the file's path. */
export type LayerModules = Readonly<Record<string, string>>;

/**
 * All that the coordinator computes with the code of layers, by names that a thread can be told. What goes in and what comes out
 * can be copied into another thread. Loaded when they are called for.
 */
const computations = {
  planJob: async (modules: LayerModules, jobSpec: JobSpec, links?: Fabric) =>
    (await import('../plan/plan-job.js')).planJob(jobSpec, modules, links),

  planToRun: async (modules: LayerModules, jobSpec: JobSpec, links?: Fabric) =>
    (await import('../plan/plan-to-run.js')).planToRun(jobSpec, modules, links),

  /** `gpus`: those that its ranks are to share; left out: what the job says of its memory. */
  checkMemory: async (modules: LayerModules, plan: Plan, gpus?: readonly Gpu[]) => {
    const { checkMemory } = await import('../plan/check-memory.js');
    const { limitOnGpus } = await import('../doctor/limit-on-gpus.js');
    await checkMemory(plan, modules, gpus && limitOnGpus(gpus));
  },

  stepTime: async (modules: LayerModules, plan: Plan, compute?: string) =>
    (await import('../plan/step-time.js')).stepTime(plan, compute, modules),

  simulateStep: async (modules: LayerModules, plan: Plan, costs: StepCosts) =>
    (await import('../simulate/simulate-step.js')).simulateStep(plan, costs, modules),

  crossingsOf: async (modules: LayerModules, jobSpec: JobSpec, fabric: Fabric) =>
    (await import('../simulate/crossings.js')).crossingsOf(jobSpec, fabric, modules),

  recordSchedules: async (modules: LayerModules, plan: Plan) =>
    (await import('@longscan/worker')).recordSchedules(plan, modules, { documents: false }),
} as const;

type Computations = typeof computations;
export type ComputationName = keyof Computations;
export type ArgsOf<N extends ComputationName> =
  Parameters<Computations[N]> extends [LayerModules, ...infer Args] ? Args : never;
export type ResultOf<N extends ComputationName> = Awaited<ReturnType<Computations[N]>>;

type ByName = {
  readonly [N in ComputationName]: (modules: LayerModules, ...args: ArgsOf<N>) => Promise<ResultOf<N>>;
};

/** Calls one of them by its name. */
export function call<N extends ComputationName>(
  modules: LayerModules,
  name: N,
  args: ArgsOf<N>,
): Promise<ResultOf<N>> {
  const byName: ByName = computations;
  return byName[name](modules, ...args);
}
