import { type Communicator, empty, fromArray } from '@longscan/kernels';
import type { CollectiveTimes } from '../protocol/collectives.js';
import type { RankContext } from '../rank-context.js';
import { CaseTimes } from './collectives/case-times.js';
import { chainCase, chainRunCase } from './collectives/chains.js';
import type { MeasuredCase } from './collectives/measured-case.js';
import { burstCase, pairsOf, sendRecvCase } from './collectives/messages.js';
import { takeSample } from './collectives/sample.js';
import { type ScanProblem, scanProblem } from './collectives/scan-problem.js';
import { reportOnGroup } from './on-group.js';

/**
 * The `probe-links` task: what messages and chains between the ranks of a sequence take, in a second or two whatever the links are,
 * every one checked.
 */
export async function runProbeLinks(context: RankContext): Promise<void> {
  const { task } = context.assignment;
  if (task.kind !== 'probe-links') throw new TypeError(`not a probe-links task: ${task.kind}`);
  await reportOnGroup(context, (group, { ranksPerNode }) => probeGroup(group, { ranksPerNode }));
}

/** From where latency is all to where bandwidth is, with steps between that show where one gives way to the other. */
export const probedSizes = [8, 4 * 2 ** 10, 64 * 2 ** 10, 2 ** 20, 8 * 2 ** 20] as const;

/** Of a case: so few that a probe is short, so many that a median is worth something. */
const numSamples = { fewest: 3, most: 9 };
const mostCalls = 100;

export interface ProbeOptions {
  readonly ranksPerNode: number;
  /** What the bytes of a case may take, beside its latency: there are 30 cases at most. */
  readonly caseS?: number;
  /** What a sample should take, so that small messages are timed over many. */
  readonly sampleS?: number;
}

/**
 * This rank's times of messages, alone and in runs, and of chains where the group has some of its own: every rank of the group calls
 * this with the same options. Sizes whose bytes would take longer than `caseS` are left out, but for the two smallest.
 * @throws LongscanError E-BENCH-DATA if a value is wrong on this rank, and what the communicator throws
 */
export async function probeGroup(group: Communicator, options: ProbeOptions): Promise<CollectiveTimes[]> {
  const times = new CaseTimes();
  for (const pair of pairsOf(group.size, options.ranksPerNode)) {
    for (const messages of [sendRecvCase, burstCase]) {
      const makeCase: MakeCase = (bytes, numCalls) => messages(group, pair, bytes, numCalls);
      await probeSizes(group, makeCase, options, times);
    }
  }
  if (group.chain !== undefined) await probeChains(group, options, times);
  return times.all;
}

async function probeChains(group: Communicator, options: ProbeOptions, times: CaseTimes): Promise<void> {
  // What has to come out of a chain is folded by the host, which takes longer than the chains: once for each size.
  const problems = new Map<number, ScanProblem>();
  const problemOf = (bytes: number) => {
    const problem = problems.get(bytes) ?? scanProblem(group, 'identity', bytes);
    problems.set(bytes, problem);
    return problem;
  };
  try {
    for (const chains of [chainCase, chainRunCase])
      await probeSizes(group, (bytes, numCalls) => chains(group, problemOf(bytes), numCalls), options, times);
  } finally {
    for (const problem of problems.values()) problem.release();
  }
}

type MakeCase = (bytes: number, numCalls: number) => MeasuredCase;

async function probeSizes(
  group: Communicator,
  makeCase: MakeCase,
  { caseS = 0.2, sampleS = 5e-3 }: ProbeOptions,
  times: CaseTimes,
): Promise<void> {
  const known: { readonly bytes: number; readonly callS: number }[] = [];
  for (const bytes of probedSizes) {
    const [a, b] = known.slice(-2);
    const byteS = a && b ? Math.max(0, b.callS - a.callS) / (b.bytes - a.bytes) : 0;
    if ((1 + numSamples.fewest) * bytes * byteS > caseS) return;
    const callS = await timeOfCall(group, makeCase(bytes, 1));
    known.push({ bytes, callS });
    const numCalls = clamp(Math.round(sampleS / callS), 1, mostCalls);
    const count = clamp(Math.floor(caseS / (numCalls * callS)), numSamples.fewest, numSamples.most);
    const measured = makeCase(bytes, numCalls);
    try {
      const samples = [];
      for (let i = 0; i < count; i++) samples.push(await takeSample(group, measured));
      times.add(measured, samples);
    } finally {
      measured.release();
    }
  }
}

/** Of the first call of this size, as the slowest rank has seen it: what ranks decide by it, they decide alike. */
async function timeOfCall(group: Communicator, measured: MeasuredCase): Promise<number> {
  const { size, stream } = group;
  const { device } = stream;
  try {
    const { seconds } = await takeSample(group, measured);
    const own = fromArray(device, [seconds * measured.numOps], [1]);
    const all = empty(device, [size]);
    try {
      stream.wait(device.compute.record());
      group.allGather(own, all);
      return Math.max(...((await all.read(stream)) as Float32Array));
    } finally {
      own.release();
      all.release();
    }
  } finally {
    measured.release();
  }
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(most, Math.max(least, value));
}
