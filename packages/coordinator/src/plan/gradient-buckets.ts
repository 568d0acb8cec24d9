import { type CollectiveEntry, type FabricCost, slowestLink } from '@longscan/worker';
import { type JobSpec, type Mesh, parseMemory } from '@longscan/worker/protocol';
import { methodOf } from '../simulate/collectives.js';
import { collectiveLinks, engineOf } from '../simulate/engine.js';
import { meetingSeconds } from '../simulate/meeting-seconds.js';

/** A bucket's sum takes so many times as long as that of a few bytes: a fifth of it is latency. */
const timesLatency = 5;
/** Below it the host's work for a bucket counts for more than what overlaps. */
const leastBytes = 2 ** 20;
/** Where latencies are that long, many ranks still overlap seven eighths of their sums. */
const fewestBuckets = 8;

/**
 * Bytes of gradients that are summed over all ranks at once, by what their links cost; null: all of them, since there is one
 * rank, or in deterministic mode, whose sums follow a tree over sequences when the passes over all of them are done.
 */
export function gradientBucketBytes(
  job: JobSpec,
  { numRanks }: Mesh,
  gradientBytes: number,
  fabric: FabricCost,
): number | null {
  if (numRanks === 1 || job.job.deterministic) return null;
  const given = parseMemory(job.parallel.gradientBucket);
  if (given !== null) return given;
  const engine = engineOf(job);
  const link = slowestLink(numRanks, collectiveLinks(fabric, engine));
  const verb: CollectiveEntry['verb'] = job.parallel.zero === 0 ? 'allReduce' : 'reduceScatter';
  const seconds = (bytes: number) => {
    const sum = { verb, bytes };
    return meetingSeconds(sum, numRanks, methodOf(sum, numRanks, engine), link);
  };
  const most = Math.max(leastBytes, gradientBytes / fewestBuckets);
  let bytes = leastBytes;
  while (bytes < most && seconds(bytes) < timesLatency * seconds(4 * numRanks)) bytes *= 2;
  return Math.min(bytes, most);
}
