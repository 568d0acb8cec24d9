import { createInProcessGroup, type Device, type NativeObserver, openCpuDevice } from '@longscan/kernels';
import type { Plan } from '../protocol/plan.js';
import { assembleTraining, loadUnits } from '../training/assemble-training.js';
import type { Training } from '../training/training.js';

/** The ranks of a plan, all in this process on CPUs, with initial parameters. `observe`: is told of a rank's native calls. */
export async function openPlannedRanks(
  plan: Plan,
  observe?: (rank: number) => NativeObserver,
): Promise<Training[]> {
  const { sp, numRanks } = plan.mesh;
  const units = await loadUnits(plan);
  const fixedPartition = plan.jobSpec.job.deterministic;
  const devices = Array.from({ length: numRanks }, (_, rank) =>
    openCpuDevice({ poison: true, fixedPartition, ...(observe && { observe: observe(rank) }) }),
  );
  const world = groupOf(devices, 'world');
  const sequences = Array.from({ length: numRanks / sp }, (_, i) =>
    groupOf(devices.slice(i * sp, (i + 1) * sp), `sp-${i}`),
  ).flat();
  return devices.map((device, rank) => {
    const mesh = { world: world[rank]!, sp: sequences[rank]!, close() {} };
    const training = assembleTraining(device, mesh, plan, units, rank);
    training.parameters.initialise(7);
    return training;
  });
}

function groupOf(members: readonly Device[], axis: string) {
  return members.length > 1 ? createInProcessGroup(members, { axis }) : members.map(() => null);
}
