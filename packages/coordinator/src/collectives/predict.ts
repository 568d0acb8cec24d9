import type { CollectiveEntry, FabricCost, Schedule } from '@longscan/worker';
import { burstLength, bytesPerF32 } from '@longscan/worker/protocol';
import type { ComputeCosts } from '../compute/compute-costs.js';
import { opSeconds } from '../compute/op-seconds.js';
import { chainRunSeconds } from '../fabric/fit-chains.js';
import { messageSeconds } from '../fabric/fit-link.js';
import { noWork } from '../plan/layer-scans.js';
import { countingOverheads } from '../plan/scan-machine.js';
import { type ScanMachine, timeBySimulation } from '../plan/simulate-scans.js';
import type { StrategyCost } from '../plan/strategies.js';
import { machineOf } from '../simulate/machine.js';
import { programsOf } from '../simulate/programs-of.js';
import { simulate } from '../simulate/simulate.js';
import { timedChain } from './fit-fabric.js';
import type { CollectiveRow } from './rows.js';

/** What scans are simulated on, with the links as they were fitted. */
export interface PredictionMachine extends ScanMachine {
  readonly links: FabricCost;
}

/** Ranks with these links and costs of ops, as the planner takes them. */
export function predictionMachine(
  links: FabricCost,
  engine: ScanMachine['engine'],
  compute: ComputeCosts,
): PredictionMachine {
  const machine = countingOverheads(machineOf(engine, { fabric: links, compute }));
  return { ...machine, links, engine, secondsOf: (op) => opSeconds(compute, op) };
}

/**
 * What the planner's models say of an operation that was measured: messages by the links alone, all else by a simulation of what
 * the ranks enqueue. Null for a strategy that is not installed here.
 *
 * @param handOverS What a message of a scan costs a core at either end; null: what links say of it.
 */
export function predictSeconds(
  row: CollectiveRow,
  machine: PredictionMachine,
  strategies: readonly StrategyCost[],
  handOverS: number | null = null,
): number | null {
  const { op, bytes, numRanks } = row;
  switch (op) {
    case 'send-recv':
      return messageSeconds(linkOf(row, machine.links), bytes);
    case 'burst':
      return messageSeconds(linkOf(row, machine.links), bytes, burstLength);
    case 'chain':
    case 'chain-run':
      return chainPrediction(row, machine.links);
    case 'all-gather':
      return collectiveSeconds('allGather', bytes / numRanks, numRanks, machine);
    case 'reduce-scatter':
      return collectiveSeconds('reduceScatter', bytes, numRanks, machine);
    case 'all-reduce':
      return collectiveSeconds('allReduce', bytes, numRanks, machine);
    case 'scan':
      return scanSeconds(
        row,
        handOverS === null ? machine : { ...machine, overheadS: handOverS },
        strategies,
      );
  }
}

function linkOf({ link }: CollectiveRow, fabric: FabricCost) {
  return link === 'between' ? (fabric.nodes?.between ?? fabric) : fabric;
}

/** Null where chains were measured that tell no link. */
function chainPrediction(row: CollectiveRow, { chains }: FabricCost): number | null {
  const [timed] = timedChain(row);
  return timed === undefined || chains === undefined ? null : chainRunSeconds(timed, chains);
}

function collectiveSeconds(
  verb: CollectiveEntry['verb'],
  bytes: number,
  numRanks: number,
  machine: ScanMachine,
): number {
  const entry: CollectiveEntry = { kind: 'collective', stream: 0, group: 'sp', verb, bytes };
  const schedule: Schedule = { streams: ['sp-0'], entries: [entry] };
  const programs = programsOf(
    Array.from({ length: numRanks }, () => schedule),
    { ...machine, mesh: { sp: numRanks, dp: 1, numRanks } },
  );
  return simulate(programs, machine).seconds;
}

/** Half of a forward scan and the reverse one after it. */
function scanSeconds(
  row: CollectiveRow,
  machine: ScanMachine,
  strategies: readonly StrategyCost[],
): number | null {
  const strategy = strategies.find(({ name }) => name === row.strategy);
  if (strategy === undefined) return null;
  const { numRanks, bytes, blocks, ranksPerNode, transition, transitionBytes, stateRows } = row;
  const recurrence = {
    ...{ layer: 0, kind: transition!, stateBytes: bytes, stateRows: stateRows! },
    ...{ transitionBytes: transitionBytes!, numHeads: headsOf(row) },
  };
  const scans = { layers: [0], recurrences: [recurrence], units: 1, work: noWork };
  const options = { blocks: blocks!, ranksPerNode: ranksPerNode! };
  return timeBySimulation(numRanks, machine)({ strategy, options }, scans).seconds / 2;
}

/** M's that a state has; where none is sent nobody sees how many. */
function headsOf({ transition, bytes, transitionBytes, stateRows }: CollectiveRow): number {
  const cols = bytes / bytesPerF32 / stateRows!;
  switch (transition!) {
    case 'identity':
      return 1;
    case 'scalar':
      return transitionBytes! / bytesPerF32;
    case 'diagonal':
      return transitionBytes! / bytesPerF32 / cols;
    case 'dense':
      return transitionBytes! / bytesPerF32 / cols ** 2;
  }
}
