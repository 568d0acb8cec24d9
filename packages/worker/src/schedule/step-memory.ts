import { type Communicator, openShapeDevice } from '@longscan/kernels';
import type { Plan } from '../protocol/plan.js';
import { loadUnits, type PlannedUnits } from '../training/assemble-training.js';
import { gatherMoments } from '../training/gather-moments.js';
import { maxUnderWay } from '../training/train-step.js';
import { ShapeRank } from './shape-rank.js';

/** Device memory of the rank that needs most when it trains, in bytes. */
export interface StepMemory {
  /** Highest sum of all tensors alive at once. */
  readonly peakBytes: number;
  /** Of it, tensors on the streams of communicators: buffers of messages, and what they brought. */
  readonly communicationBytes: number;
  /** What the allocator has taken: free memory that no later tensor fitted into is among it. */
  readonly reservedBytes: number;
}

export interface TraceMemoryOptions {
  /** Bundled module of each layer file outside the packages. */
  readonly modules?: Readonly<Record<string, string>>;
  /** As `blankBatches` has it; default: true. */
  readonly documents?: boolean;
  /** Those that are traced; default: all among which can be the one that holds most. */
  readonly ranks?: readonly number[];
}

/**
 * What training takes by a plan: its own steps, and the gathering of moments for a checkpoint, on a shape device. Opens no
 * native file. What kernels and libraries take for themselves comes on top.
 */
export async function traceMemory(
  plan: Plan,
  { modules, documents = true, ranks = unlikeRanks(plan) }: TraceMemoryOptions = {},
): Promise<StepMemory> {
  const units = await loadUnits(plan, modules);
  let most: StepMemory | null = null;
  let reservedBytes = 0;
  for (const rank of ranks) {
    const memory = await traceRank(plan, units, rank, documents);
    reservedBytes = Math.max(reservedBytes, memory.reservedBytes);
    if (most === null || memory.peakBytes > most.peakBytes) most = memory;
  }
  return { ...most!, reservedBytes };
}

async function traceRank(
  plan: Plan,
  units: PlannedUnits,
  rank: number,
  documents: boolean,
): Promise<StepMemory> {
  const device = openShapeDevice();
  const traced = new ShapeRank(device, plan, units, rank, documents);
  const { training } = traced;
  for (let step = 0; step < traced.numStepsToSettle; step++) await traced.enqueueStep();
  await Promise.all(Array.from({ length: maxUnderWay(device) }, () => traced.enqueueStep()));
  const { mesh, optimizer } = training;
  for (const { m, v } of gatherMoments(mesh.world, optimizer) ?? []) {
    m.release();
    v.release();
  }
  const { peakBytes, reservedBytes } = device.memory();
  const onStreamOf = (group: Communicator | null) => (group === null ? 0 : device.peakBytesOf(group.stream));
  const communicationBytes = onStreamOf(mesh.sp) + onStreamOf(mesh.world);
  return { peakBytes, communicationBytes, reservedBytes };
}

/** A plan that says what its ranks hold when they train. */
export async function withMemory(plan: Plan, options: TraceMemoryOptions = {}): Promise<Plan> {
  const memory = await traceMemory(plan, options);
  const { parameterBytes, gradientBytes, optimizerBytes } = plan.perRank;
  const others = parameterBytes + gradientBytes + optimizerBytes + memory.communicationBytes;
  const activationBytes = Math.max(0, memory.peakBytes - others);
  return { ...plan, perRank: { ...plan.perRank, ...memory, activationBytes } };
}

/**
 * Ranks among which are those that hold most: of one sequence, since replicas hold as much, both ends and the middle of its
 * nodes, and of each those of its ranks.
 */
function unlikeRanks({ mesh: { sp }, ranksPerNode }: Plan): number[] {
  const numNodes = Math.ceil(sp / ranksPerNode);
  const ranks = placesIn(numNodes).flatMap((node) =>
    placesIn(ranksPerNode).map((place) => node * ranksPerNode + place),
  );
  return ranks.filter((rank) => rank < sp);
}

/** First, second, middle, last but one and last of so many. */
function placesIn(count: number): number[] {
  const places = [0, 1, Math.floor(count / 2), count - 2, count - 1];
  return [...new Set(places.filter((place) => place >= 0 && place < count))];
}
