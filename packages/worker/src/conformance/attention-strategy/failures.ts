import type { AttentionStrategy } from '../../attention-strategy.js';
import type { Check } from '../check.js';
import { expectPeersFail } from '../peers-fail.js';
import { type Engine, type RankSet, withRanks } from '../rank-set.js';
import { type AttentionCase, rankProblem } from './attention-case.js';

const problem: AttentionCase = { lengths: [4, 4, 4, 4] };
const numRanks = problem.lengths.length;

/** A rank that goes away never leaves the others waiting. */
export function failureChecks(strategy: AttentionStrategy): Check[] {
  return (['forward', 'backward'] as const).flatMap((pass) =>
    (['in-process', 'tcp'] as const).map((engine) => ({
      name: `a rank that aborts makes every other fail, naming a peer: ${pass}, ${engine}`,
      run: async () => {
        for (let aborting = 0; aborting < numRanks; aborting++) {
          await checkAbort(strategy, pass, aborting, engine);
        }
      },
    })),
  );
}

function checkAbort(
  strategy: AttentionStrategy,
  pass: 'forward' | 'backward',
  aborting: number,
  engine: Engine,
): Promise<void> {
  const body = async (ranks: RankSet) => {
    const problems = ranks.devices.map((_, rank) => rankProblem(problem, strategy, ranks, rank));
    const forward = (rank: number) => {
      const device = ranks.devices[rank]!;
      return device.record(() => device.scope(() => problems[rank]!.forward()));
    };
    const others = ranks.communicators.filter(({ rank }) => rank !== aborting);
    const recorded = pass === 'forward' ? null : problems.map((_, rank) => forward(rank));
    if (recorded !== null) await ranks.sync();
    for (const communicator of others) {
      const { rank, stream } = communicator;
      if (recorded === null) forward(rank);
      else recorded[rank]!.tape.backward([recorded[rank]!.result], [problems[rank]!.dO]);
      // Whoever had its part without the missing rank notices at the next collective.
      communicator.barrier();
      stream.device.compute.wait(stream.record());
    }
    ranks.communicators[aborting]!.abort('a check');
    await expectPeersFail(others, numRanks, `while rank ${aborting} aborts, ${pass}`);
  };
  return withRanks(numRanks, body, { engine });
}
