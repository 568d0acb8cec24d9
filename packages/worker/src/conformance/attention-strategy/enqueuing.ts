import type { AttentionStrategy } from '../../attention-strategy.js';
import { type Check, demand } from '../check.js';
import { withRanks } from '../rank-set.js';
import { type AttentionCase, rankProblem } from './attention-case.js';

const problem: AttentionCase = { lengths: [3, 3, 3] };

/** Nothing waits on the host. */
export function enqueuingChecks(strategy: AttentionStrategy): Check[] {
  return [
    {
      name: 'both passes return while no stream may compute',
      run: () =>
        withRanks(problem.lengths.length, async (ranks) => {
          const gates = ranks.devices.map(({ compute }) => compute.closeGate());
          const outputs = ranks.devices.map((device, rank) => {
            const { inputs, dO, forward } = rankProblem(problem, strategy, ranks, rank);
            const { result, tape } = device.record(() => device.scope(() => forward()));
            tape.backward([result], [dO]);
            return [result, inputs.q.gradient!, inputs.k.gradient!, inputs.v.gradient!];
          });
          for (const { compute } of ranks.devices) demand(!compute.isIdle(), 'compute was not waited for');
          for (const openGate of gates) openGate();
          for (const tensor of outputs.flat()) {
            demand((await tensor.readNumbers()).every(Number.isFinite), 'a number is not finite');
          }
        }),
    },
  ];
}
