import type { AttentionStrategy, LinkCost } from '@longscan/worker';
import {
  type AttentionTrace,
  bytesPerF32,
  type JobSpec,
  LongscanError,
  type ModelledStrategy,
  type ModelTrace,
} from '@longscan/worker/protocol';
import { canonicalSegments } from './canonical-units.js';
import type { Layout } from './layout.js';

/** The planner's view of a strategy for softmax layers: pure arithmetic. */
export type AttentionStrategyCost = Pick<AttentionStrategy, 'name' | 'cost' | 'refusal' | 'keepsUnits'>;

/** How a model's softmax layers will run. */
export interface AttentionPlan {
  /** The strategy that will run it. */
  readonly strategy: string;
  /** What all calls of a step cost under it. */
  readonly cost: ModelledStrategy;
  /** The same of every strategy that could, fastest first, equals by name; empty if the model has no such layer. */
  readonly modelled: readonly ModelledStrategy[];
}

/**
 * Chooses how keys and values cross ranks: as the job says, or what is modelled fastest.
 * @throws LongscanError E-STRATEGY if the job's strategy cannot divide the heads of a layer
 */
export function planAttention(
  job: JobSpec,
  layout: Layout,
  trace: Pick<ModelTrace, 'attentions' | 'layers'>,
  installed: readonly AttentionStrategyCost[],
  link: LinkCost,
): AttentionPlan {
  const asked = job.parallel.attentionStrategy;
  const allowed = installed.filter(({ keepsUnits }) => keepsUnits || !job.job.deterministic);
  const { sp } = layout.mesh;
  const refusedCall = (strategy: AttentionStrategyCost, numRanks: number) =>
    trace.attentions.find((call) => refusalOf(strategy, call, numRanks) !== null);
  const able = allowed.filter((strategy) => refusedCall(strategy, sp) === undefined);
  const strategy = installed.find(({ name }) => name === asked);
  const refused = strategy && refusedCall(strategy, sp);
  if (strategy !== undefined && refused !== undefined) {
    const fewer = Array.from({ length: sp - 1 }, (_, i) => sp - 1 - i);
    const works = [
      ...able.map(({ name }) => `parallel.attentionStrategy = "${name}"`),
      `parallel.sp = ${fewer.find((numRanks) => refusedCall(strategy, numRanks) === undefined)}`,
    ];
    const layer = `layer ${refused.layer} (${trace.layers[refused.layer]?.name})`;
    throw new LongscanError({
      code: 'E-STRATEGY',
      where: 'parallel.attentionStrategy',
      found: `"${asked}" with ${layer}, which has ${refusalOf(strategy, refused, sp)}`,
      expected: 'a strategy that can run it',
      fix: works.join(', or '),
      exitCode: 2,
    });
  }
  const modelled = able
    .map((one) => modelOf(one, job, layout, trace.attentions, link))
    .sort((a, b) => a.seconds - b.seconds || (a.strategy < b.strategy ? -1 : 1));
  const chosen = modelled.find((row) => asked === 'auto' || row.strategy === asked);
  if (chosen === undefined) throw new Error('no strategy for softmax attention is installed');
  return {
    strategy: chosen.strategy,
    cost: chosen,
    modelled: trace.attentions.length === 0 ? [] : modelled,
  };
}

/** Nothing is refused where nothing has to be divided. */
function refusalOf({ refusal }: AttentionStrategyCost, call: AttentionTrace, sp: number): string | null {
  return sp === 1 ? null : (refusal?.(call, sp) ?? null);
}

/** What all calls of one step cost, forward and backward. */
function modelOf(
  { name, cost }: AttentionStrategyCost,
  job: JobSpec,
  { slices, mesh: { sp } }: Layout,
  calls: readonly AttentionTrace[],
  link: LinkCost,
): ModelledStrategy {
  const segments = canonicalSegments(job);
  const units = segments === null ? null : segments / sp;
  const layout = { slices, packed: job.data.packing, units, elementBytes: bytesPerF32 };
  const bytesSentByRank = new Array<number>(sp).fill(0);
  let seconds = 0;
  for (const call of calls) {
    const found = cost(call, layout, link);
    seconds += found.seconds;
    for (let rank = 0; rank < sp; rank++) {
      bytesSentByRank[rank]! += found.bytesSentForward[rank]! + found.bytesSentBackward[rank]!;
    }
  }
  return { strategy: name, seconds, bytesSentByRank };
}
