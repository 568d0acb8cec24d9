import { blockCounts, chainSeconds, type ScannedState, traceModel } from '@longscan/worker';
import type { JobSpec } from '@longscan/worker/protocol';
import type { Fabric } from '../fabric/fabric.js';
import { type Engine, engineOf } from './engine.js';
import { mostRanks } from './limits.js';
import { scanSeconds } from './scan-seconds.js';

/** Scans that the chain is compared with; those that need few steps where there are many ranks. */
const challengers = ['doubling-scan', 'two-level'] as const;

/** From how many ranks on a scan takes less time than the best chain; null: at none of those looked at. */
export interface Crossing {
  readonly strategy: string;
  readonly numRanks: number | null;
  /** At that number, else at the largest. */
  readonly seconds: number;
  readonly chainSeconds: number;
}

/** Simulates scans of a state alone, over powers of two of ranks up to 4,096, until each has overtaken the chain. */
export async function findCrossings(
  state: ScannedState,
  fabric: Fabric,
  engine: Engine,
): Promise<Crossing[]> {
  const chains = new Map<number, number>();
  const chainAt = async (numRanks: number): Promise<number> => {
    const known = chains.get(numRanks);
    if (known !== undefined) return known;
    const blocks = bestBlocks(numRanks, state.stateBytes, fabric);
    const seconds = await scanSeconds({ strategy: 'all-scan', state, numRanks, blocks, engine }, fabric);
    chains.set(numRanks, seconds);
    return seconds;
  };
  const crossings: Crossing[] = [];
  for (const strategy of challengers) {
    const first = strategy === 'two-level' ? 2 * (fabric.nodes?.ranksPerNode ?? 1) : 2;
    // Nodes of one rank are the chain itself.
    if (strategy === 'two-level' && first === 2) continue;
    let crossing: Crossing | null = null;
    for (let numRanks = first; numRanks <= mostRanks && crossing?.numRanks == null; numRanks *= 2) {
      const chain = await chainAt(numRanks);
      const seconds = await scanSeconds({ strategy, state, numRanks, blocks: 1, engine }, fabric);
      crossing = { strategy, numRanks: seconds < chain ? numRanks : null, seconds, chainSeconds: chain };
    }
    if (crossing !== null) crossings.push(crossing);
  }
  return crossings;
}

/** Blocks that make the chain fastest by its formula, which holds where nothing is calculated. */
function bestBlocks(numRanks: number, bytes: number, fabric: Fabric): number {
  const nodes = fabric.nodes !== undefined && fabric.nodes.ranksPerNode < numRanks ? fabric.nodes : undefined;
  const times = blockCounts.map((blocks) => chainSeconds(numRanks, bytes, blocks, { ...fabric, nodes }));
  return blockCounts[times.indexOf(Math.min(...times))]!;
}

/** Where the scans of a job's largest state overtake the chain; null where no state crosses ranks. */
export async function crossingsOf(
  jobSpec: JobSpec,
  fabric: Fabric,
  modules: Readonly<Record<string, string>>,
): Promise<{ readonly state: ScannedState | null; readonly crossings: readonly Crossing[] }> {
  const { recurrences } = await traceModel(jobSpec, {
    numSequences: jobSpec.data.batchSize / jobSpec.parallel.dp / jobSpec.data.accumulate,
    sliceLength: jobSpec.model.chunk,
    modules,
  });
  const scanned = recurrences.filter(({ kind }) => kind !== 'opaque');
  const state = scanned.reduce<ScannedState | null>(
    (largest, each) => (largest === null || each.stateBytes > largest.stateBytes ? each : largest),
    null,
  );
  if (state === null) return { state, crossings: [] };
  return { state, crossings: await findCrossings(state, fabric, engineOf(jobSpec)) };
}
