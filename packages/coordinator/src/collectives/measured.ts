import { type CollectivesResult, type JobSpec, LongscanError, type Plan } from '@longscan/worker/protocol';
import type { ComputeCosts } from '../compute/compute-costs.js';
import { loadCompute } from '../compute/load-compute.js';
import { type FabricFile, fabricFileVersion } from '../fabric/fabric-file.js';
import { thisMachine } from '../fabric/machine.js';
import { presetFor } from '../plan/step-time.js';
import { loadStrategies } from '../plan/strategies.js';
import { engineOf } from '../simulate/engine.js';
import { packageVersion } from '../version.js';
import { costOf, type FittedFabric, fitFabric } from './fit-fabric.js';
import { handOverRow, handOverSeconds } from './hand-over.js';
import { predictionMachine, predictSeconds } from './predict.js';
import { type CollectiveRow, collectiveRows } from './rows.js';

/** A row beside what the fitted links say of it; null: there is no fit. */
export interface PredictedRow extends CollectiveRow {
  readonly predictedS: number | null;
  /** What is predicted was fitted to this very row, among others. */
  readonly isFitted: boolean;
}

export interface Measured {
  readonly rows: readonly PredictedRow[];
  readonly fit: FittedFabric | null;
  /** What a message of a scan costs a core of either end; null: no scan was measured, or there is no fit. */
  readonly handOverS: number | null;
  readonly numRanks: number;
  readonly engine: string;
  /** As the ranks describe it. */
  readonly machine: CollectivesResult['machine'];
  readonly versions: Readonly<Record<string, string>>;
}

/** Operations that links are fitted to. */
const fittedOps: ReadonlySet<string> = new Set(['send-recv', 'burst', 'chain', 'chain-run']);

/** What the ranks of a group, in its order, have measured. */
export async function measuredRows(
  results: readonly CollectivesResult[],
  { ranksPerNode, jobSpec }: Plan,
): Promise<Measured> {
  const rows = collectiveRows(results);
  const fit = fitFabric(rows, ranksPerNode);
  const strategies = await loadStrategies();
  const ranks = fit && predictionMachine(costOf(fit), engineOf(jobSpec), costsHere(jobSpec));
  const handOverS = ranks && handOverSeconds(rows, ranks, strategies);
  const chain = handOverRow(rows);
  // Chains that tell no link are no messages either.
  const isUntold = fit?.chains === null && rows.some(({ op }) => op === 'chain');
  const { machine, versions } = results[0]!;
  return {
    rows: rows.map((row) => ({
      ...row,
      predictedS:
        isUntold && row.op === 'scan' ? null : ranks && predictSeconds(row, ranks, strategies, handOverS),
      isFitted: fittedOps.has(row.op) || row === chain,
    })),
    ...{ fit, handOverS, numRanks: results.length, engine: jobSpec.device.engine, machine },
    versions: { longscan: packageVersion(), node: process.versions.node, ...versions },
  };
}

/** What ops cost on a device of the job's kind, ranks on CPUs sharing the cores of this machine. */
function costsHere(jobSpec: JobSpec): ComputeCosts {
  const costs = loadCompute(presetFor(jobSpec));
  return costs.ranksAtOnce === null ? costs : { ...costs, ranksAtOnce: thisMachine().cores };
}

/** @throws LongscanError E-BENCH-FIT if the measurements tell no links */
export function fabricFileOf({ rows, fit, numRanks, engine, machine, versions }: Measured): FabricFile {
  if (fit === null) throw noFit();
  const { inside, between, chains, ranksPerNode } = fit;
  const here = thisMachine();
  const withoutLink = <Fit extends { readonly link: unknown }>({ link: _, ...rest }: Fit) => rest;
  return {
    schema: fabricFileVersion,
    name: `${engine} between ${numRanks} ranks on ${here.cpu}`,
    link: inside.link,
    ...(between === null ? {} : { nodes: { ranksPerNode, between: between.link } }),
    ...(chains === null ? {} : { chains: chains.link }),
    measured: {
      date: new Date().toISOString(),
      machine: { ...here, device: machine.device === 'cuda' ? String(machine.name) : 'cpu' },
      ...{ engine, versions: { ...versions }, numRanks },
      fit: {
        inside: withoutLink(inside),
        ...(between === null ? {} : { between: withoutLink(between) }),
        ...(chains === null ? {} : { chains: withoutLink(chains) }),
      },
      points: rows.map((row) => ({ ...row })),
    },
  };
}

function noFit(): LongscanError {
  return new LongscanError({
    code: 'E-BENCH-FIT',
    where: '--save',
    found: 'times of messages that tell no latency, gap and bandwidth above zero',
    expected: 'sizes of a few bytes and of many, and a machine that does little else',
    fix: '--min-bytes 8 --max-bytes 64M, and more --rounds',
    exitCode: 2,
  });
}
