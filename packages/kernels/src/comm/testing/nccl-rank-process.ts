import { fromArray } from '../../tensor.js';
import { type GpuRankOptions, runGpuRank } from '../../testing/gpu-rank.js';
import { checkCollectives } from './check-group.js';

export interface NcclRankOrders extends GpuRankOptions {
  /** `check`: all collectives, compared. `traffic`: all-reduces without end. `wait`: one that others take no part in. */
  readonly task: 'check' | 'traffic' | 'wait';
}

// One rank on a GPU, started by nccl.cuda.test.ts.

runGpuRank<NcclRankOrders>(async (comm, { task }, tellRunning) => {
  if (task === 'check') return checkCollectives([comm]);
  const { stream, rank } = comm;
  const tensor = fromArray(stream.device, new Float32Array(1000), [1000]);
  stream.wait(stream.device.compute.record());
  for (let round = 0; task === 'traffic' || round < 3; round++) {
    comm.allReduce(tensor);
    await stream.sync();
    if (round === 2) tellRunning();
  }
  if (rank === 0) comm.allReduce(tensor);
  await stream.sync();
  // The others keep their connections.
  await new Promise(() => {});
});
