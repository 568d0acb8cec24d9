import { hostname } from 'node:os';
import {
  countGpus,
  type Device,
  gemmInfo,
  LongscanError,
  openCpuDevice,
  openCudaDevice,
} from '@longscan/kernels';
import type { RankEnv } from './control/rank-env.js';
import type { JobSpec } from './protocol/job-spec.js';

/** A rank's place among those of its host. */
type Place = Pick<RankEnv, 'rank' | 'localRank' | 'localWorldSize' | 'numThreads'>;

export interface OpenDeviceOptions {
  /** As `CpuDeviceOptions` has it. */
  readonly fixedPartition?: boolean;
  /** Refuses ranks that would take turns on a GPU, which `share` allows: messages between them take as long as their turns. */
  readonly ownGpus?: boolean;
}

/**
 * The device that a rank computes on: on GPUs the one with its number among the ranks of its host.
 * @throws LongscanError E-CUDA-GPUS (exit code 3), on every rank of a host alike, where it has fewer GPUs than ranks that
 *   do not share any; and what `openCpuDevice` and `openCudaDevice` throw
 */
export function openDevice(
  { kind, share }: Pick<JobSpec['device'], 'kind' | 'share'>,
  { rank, localRank, localWorldSize, numThreads }: Place,
  { fixedPartition = false, ownGpus = false }: OpenDeviceOptions = {},
): Device {
  if (kind === 'cpu') return openCpuDevice({ threads: numThreads, fixedPartition });
  const numGpus = countGpus();
  const takeTurns = localWorldSize > numGpus;
  if (takeTurns && ownGpus)
    throw tooFewGpus(
      numGpus,
      localWorldSize,
      'since what links cost does not show where ranks take turns on a GPU (device.share)',
    );
  if (takeTurns && !share) throw tooFewGpus(numGpus, localWorldSize);
  // NCCL refuses two ranks on one GPU unless it takes them for ranks of two hosts.
  if (takeTurns) process.env.NCCL_HOSTID = `${hostname()}-${rank}`;
  return openCudaDevice({ index: localRank % numGpus });
}

/** What a host's ranks are told that has fewer GPUs than they are; `alternative`: what is said beside having as many. */
export function tooFewGpus(
  numGpus: number,
  numRanks: number,
  alternative = 'or device.share = true to let ranks take turns on a GPU, which is for tests',
): LongscanError {
  return new LongscanError({
    code: 'E-CUDA-GPUS',
    where: `device.kind = "cuda" on ${hostname()}`,
    found: `${numGpus} ${numGpus === 1 ? 'GPU' : 'GPUs'} (CUDA_VISIBLE_DEVICES counts) for ${numRanks} ranks`,
    expected: 'one for each',
    fix: `parallel.sp x parallel.dp = ${numGpus}, ${alternative}`,
    exitCode: 3,
  });
}

/** What computes, in one line: for a rank's log. */
export function describeDevice(device: Device): string {
  const products = `matrix products by ${JSON.stringify(gemmInfo(device))}`;
  if (device.kind !== 'cuda') return `${device.native.cpuInfo().name}; ${products}`;
  const { name, capability, numMultiprocessors, totalBytes, freeBytes, driverVersion } = device.gpu();
  const gib = (bytes: number) => (bytes / 2 ** 30).toFixed(1);
  return [
    `${name}, compute capability ${capability / 10}, ${numMultiprocessors} multiprocessors`,
    `${gib(freeBytes)} of ${gib(totalBytes)} GiB free`,
    `driver of CUDA ${Math.floor(driverVersion / 1000)}.${Math.floor((driverVersion % 1000) / 10)}`,
    products,
  ].join('; ');
}
