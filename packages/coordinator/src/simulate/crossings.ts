import { traceModel } from '@longscan/worker';
import { type JobSpec, jobSpecSchema, type RecurrenceTrace } from '@longscan/worker/protocol';
import type { Fabric } from '../fabric/fabric.js';
import { chainCarrier, withCarrier } from '../plan/chain-carrier.js';
import { type ModelledScan, rankScans } from '../plan/choose-scan.js';
import { noWork } from '../plan/layer-scans.js';
import { nodeSize, withNodes } from '../plan/nodes.js';
import { scanCandidates } from '../plan/scan-candidates.js';
import { timeBySimulation } from '../plan/simulate-scans.js';
import { loadStrategies, type StrategyCost } from '../plan/strategies.js';
import { type Engine, engineOf } from './engine.js';
import { mostRanks } from './limits.js';

/** The chain, in one block or in as many as are best. */
const chain = ['ring', 'all-scan'];

/** Scans that the chain is compared with; those that need few steps where there are many ranks. */
const challengers = ['doubling-scan', 'two-level'];

/** From how many ranks on a scan takes less time than the best chain; null: at none of those looked at. */
export interface Crossing {
  readonly strategy: string;
  readonly numRanks: number | null;
  /** At that number, else at the largest; the mean of both directions. */
  readonly seconds: number;
  readonly chainSeconds: number;
}

export interface CrossingMachine {
  readonly fabric: Fabric;
  readonly engine: Engine;
}

/**
 * Scans of a state alone, over powers of two of ranks up to 4,096, until each has overtaken the chain: with the options that the
 * planner finds best for each, in the time that it finds for them.
 */
export async function findCrossings(state: RecurrenceTrace, machine: CrossingMachine): Promise<Crossing[]> {
  const installed = await loadStrategies();
  const found = new Map<string, Crossing>();
  const isOpen = (name: string) => found.get(name)?.numRanks == null;
  for (let numRanks = 2; numRanks <= mostRanks && challengers.some(isOpen); numRanks *= 2) {
    const open = challengers.filter(isOpen);
    const strategies = installed.filter(({ name }) => [...chain, ...open].includes(name));
    const ranked = rankAlone(state, strategies, numRanks, machine);
    const best = (names: readonly string[]) => {
      const times = ranked.flatMap((one) => (names.includes(one.strategy.name) ? [one.seconds / 2] : []));
      return times.length === 0 ? null : Math.min(...times);
    };
    const chainSeconds = best(chain)!;
    for (const strategy of open) {
      const seconds = best([strategy]);
      if (seconds === null) continue;
      found.set(strategy, {
        strategy,
        numRanks: seconds < chainSeconds ? numRanks : null,
        seconds,
        chainSeconds,
      });
    }
  }
  return challengers.flatMap((name) => found.get(name) ?? []);
}

/** The planner's view of a scan with nothing to calculate, on links that copy without cores. */
function rankAlone(
  state: RecurrenceTrace,
  strategies: readonly StrategyCost[],
  sp: number,
  { fabric: all, engine }: CrossingMachine,
): ModelledScan[] {
  const job = { parallel: jobSpecSchema.shape.parallel.parse({ sp }) };
  const fabric = withCarrier(withNodes(all, job), chainCarrier({ ...job, device: { engine } }, all));
  const timeScans = timeBySimulation(sp, {
    ...{ fabric, engine, secondsOf: () => 0 },
    ...{ ranksAtOnce: null, slowdown: [1], coresPerMessage: 0 },
  });
  const scans = { layers: [state.layer], recurrences: [state], units: 1, work: noWork };
  const candidates = scanCandidates(strategies, job, { scans, fabric, ranksPerNode: nodeSize(job, fabric) });
  return rankScans(scans, candidates, { sp, fabric, timeScans }).filter(({ isBound }) => !isBound);
}

/** Where the scans of a job's largest state overtake the chain; null where no state crosses ranks. */
export async function crossingsOf(
  jobSpec: JobSpec,
  fabric: Fabric,
  modules: Readonly<Record<string, string>>,
): Promise<{ readonly state: RecurrenceTrace | null; readonly crossings: readonly Crossing[] }> {
  const { recurrences } = await traceModel(jobSpec, {
    numSequences: jobSpec.data.batchSize / jobSpec.parallel.dp / jobSpec.data.accumulate,
    sliceLength: jobSpec.model.chunk,
    modules,
  });
  const scanned = recurrences.filter(({ kind }) => kind !== 'opaque');
  const state = scanned.reduce<RecurrenceTrace | null>(
    (largest, each) => (largest === null || each.stateBytes > largest.stateBytes ? each : largest),
    null,
  );
  if (state === null) return { state, crossings: [] };
  return { state, crossings: await findCrossings(state, { fabric, engine: engineOf(jobSpec) }) };
}
