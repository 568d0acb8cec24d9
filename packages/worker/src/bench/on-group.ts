import { type Communicator, openNccl } from '@longscan/kernels';
import { connectMesh } from '../mesh.js';
import { openDevice } from '../open-device.js';
import type { Plan } from '../protocol/plan.js';
import { planOf, type RankContext } from '../rank-context.js';
import { machineOf } from './machine.js';

/**
 * Connects the ranks of a plan, has those of a sequence (of the job, where a rank has the whole sequence) measured, and reports
 * what this rank has found.
 * @throws LongscanError E-CUDA-GPUS where ranks would take turns on a GPU
 */
export async function reportOnGroup<Times>(
  context: RankContext,
  measure: (group: Communicator, plan: Plan) => Promise<Times[]>,
): Promise<void> {
  const plan = planOf(context);
  const device = openDevice(plan.jobSpec.device, context.env, { ownGpus: true });
  try {
    const mesh = await connectMesh(context, device);
    try {
      const group = mesh.sp ?? mesh.world;
      if (group === null) throw new TypeError('a lone rank has no links');
      const cases = await measure(group, plan);
      const versions = device.kind === 'cuda' ? { nccl: openNccl().version } : {};
      const machine = machineOf(device, context.env.numThreads);
      context.control.report({ type: 'done', result: { cases, machine, versions } });
    } finally {
      mesh.close();
    }
  } finally {
    device.close();
  }
}
