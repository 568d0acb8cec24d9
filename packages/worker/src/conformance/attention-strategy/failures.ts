import { LongscanError } from '@longscan/kernels';
import type { AttentionStrategy } from '../../attention-strategy.js';
import { type Check, demand } from '../check.js';
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
    for (const { rank, stream } of others) {
      const error = await stream.device.compute.sync().then(
        () => null,
        (reason: unknown) => reason,
      );
      const where = `rank ${rank} of ${numRanks}, while rank ${aborting} aborts, ${pass}`;
      demand(error instanceof LongscanError, `${where}: ended with ${error}, expected a LongscanError`);
      demand(error.code === 'E-COMM-PEER', `${where}: failed with ${error.code}, expected E-COMM-PEER`);
      demand(/rank \d+ is gone/.test(error.message), `${where}: names no peer: ${error.message}`);
    }
  };
  return withRanks(numRanks, body, { engine });
}
