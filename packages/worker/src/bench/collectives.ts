import type { Communicator } from '@longscan/kernels';
import { installedStrategies } from '../load-strategy.js';
import type { Task } from '../protocol/assignment.js';
import type { CollectiveTimes } from '../protocol/collectives.js';
import type { RankContext } from '../rank-context.js';
import type { Strategy } from '../strategy.js';
import { CaseTimes } from './collectives/case-times.js';
import { chainCase, chainRunCase } from './collectives/chains.js';
import type { MeasuredCase } from './collectives/measured-case.js';
import { burstCase, pairsOf, sendRecvCase } from './collectives/messages.js';
import { takeSample } from './collectives/sample.js';
import { scanProblem } from './collectives/scan-problem.js';
import { optionsFor, scanCase } from './collectives/scans.js';
import { allGatherCase, allReduceCase, reduceScatterCase } from './collectives/verbs.js';
import { reportOnGroup } from './on-group.js';

type BenchTask = Extract<Task, { kind: 'bench-collectives' }>;

/**
 * The `bench-collectives` task: messages, collectives and whole strategies between the ranks of a sequence (of the job, where
 * a rank has the whole sequence), every result of them checked.
 */
export async function runBenchCollectives(context: RankContext): Promise<void> {
  const { assignment, control, env, log } = context;
  const { task } = assignment;
  if (task.kind !== 'bench-collectives') throw new TypeError(`not a bench-collectives task: ${task.kind}`);
  await reportOnGroup(context, (group, { ranksPerNode }) =>
    measureGroup(group, {
      ...{ ...task, ranksPerNode },
      onProgress(progress) {
        log(`${progress.done + 1} of ${progress.total}: ${progress.next}`);
        if (env.rank === 0) control.report({ type: 'progress', ...progress });
      },
    }),
  );
}

export interface MeasureOptions extends Pick<BenchTask, 'sizes' | 'transition' | 'numRounds'> {
  readonly ranksPerNode: number;
  /** Default: those of the sp folder. */
  readonly strategies?: readonly Strategy[];
  /** Of a round, by size. */
  readonly samplesFor?: (bytes: number) => number;
  /** Called before each size of each round. */
  readonly onProgress?: (progress: { done: number; total: number; next: string }) => void;
}

/**
 * This rank's times of all cases: every rank of the group calls this with the same options.
 * @throws LongscanError E-BENCH-DATA if a value is wrong on this rank, and what the communicator throws
 */
export async function measureGroup(group: Communicator, options: MeasureOptions): Promise<CollectiveTimes[]> {
  const strategies = options.strategies ?? (await installedStrategies());
  const times = new CaseTimes();
  const { sizes, numRounds } = options;
  for (let round = 0; round < numRounds; round++) {
    for (const [i, bytes] of sizes.entries()) {
      const next = `round ${round + 1} of ${numRounds}, ${bytes} bytes`;
      options.onProgress?.({ done: round * sizes.length + i, total: numRounds * sizes.length, next });
      for await (const { measured, samples } of measureSize(group, strategies, options, bytes))
        times.add(measured, samples);
    }
  }
  return times.all;
}

/** The first sample of a case only warms up; of large messages there are few, since each is long. */
function usualSamples(bytes: number): number {
  if (bytes <= 64 * 2 ** 10) return 20;
  return bytes <= 4 * 2 ** 20 ? 7 : 3;
}

async function* measureSize(
  group: Communicator,
  strategies: readonly Strategy[],
  { ranksPerNode, transition, samplesFor = usualSamples }: MeasureOptions,
  bytes: number,
) {
  const measure = async (measured: MeasuredCase) => {
    try {
      await takeSample(group, measured);
      const samples = [];
      for (let i = 0; i < samplesFor(bytes); i++) samples.push(await takeSample(group, measured));
      return { measured, samples };
    } finally {
      measured.release();
    }
  };
  for (const pair of pairsOf(group.size, ranksPerNode)) {
    yield await measure(sendRecvCase(group, pair, bytes));
    yield await measure(burstCase(group, pair, bytes));
  }
  for (const verb of [allGatherCase, reduceScatterCase, allReduceCase])
    yield await measure(verb(group, bytes));
  const problem = scanProblem(group, transition, bytes);
  try {
    if (group.chain !== undefined) {
      yield await measure(chainCase(group, problem));
      yield await measure(chainRunCase(group, problem));
    }
    for (const strategy of strategies) {
      for (const ways of optionsFor(strategy, group, problem.rows))
        yield await measure(scanCase(group, strategy, ways, problem));
    }
  } finally {
    problem.release();
  }
}
