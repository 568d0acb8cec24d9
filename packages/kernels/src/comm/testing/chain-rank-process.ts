import { kinds } from '../../ops/transition/problem.js';
import { empty, fromArray } from '../../tensor.js';
import { type GpuRankOptions, runGpuRank } from '../../testing/gpu-rank.js';
import { chainCases, chainDifferences } from './check-chains.js';

export interface ChainRankOrders extends GpuRankOptions {
  /** `check`: every kind, compared. `traffic`: chains without end. `wait`: one that the first rank takes no part in. */
  readonly task: 'check' | 'traffic' | 'wait';
}

// One rank on a GPU, started by peer-memory.cuda.test.ts.

runGpuRank<ChainRankOrders>(async (comm, { task }, tellRunning) => {
  if (comm.chain === undefined) throw new Error('the group has no chains');
  if (task === 'check') {
    // Twice: the numbers of the second go on where those of the first ended.
    const cases = chainCases(kinds);
    return [...(await chainDifferences([comm], cases)), ...(await chainDifferences([comm], cases))];
  }
  const { stream, rank, size } = comm;
  const state = fromArray(stream.device, new Float32Array(2 * 64 * 64), [1, 2, 64, 64]);
  const incoming = empty(stream.device, state.shape);
  const segment = { kind: 'identity', state, factor: null, reset: null } as const;
  stream.wait(stream.device.compute.record());
  const chain = (step: 1 | -1) =>
    comm.chain!(segment, rank === (step === 1 ? 0 : size - 1) ? null : incoming, step);
  for (let round = 0; task === 'traffic' || round < 3; round++) {
    chain(1);
    chain(-1);
    await stream.sync();
    if (round === 2) tellRunning();
  }
  if (rank !== 0) chain(1);
  await stream.sync();
  // The others keep their memory.
  await new Promise(() => {});
});
