import type {
  JobSpec,
  ModelledScans,
  ModelTrace,
  RecurrenceTrace,
  ScanChoice,
} from '@longscan/worker/protocol';
import type { Fabric } from '../fabric/fabric.js';
import { type ModelledScan, rankScans } from './choose-scan.js';
import { type LayerScans, type LayerWork, layerScans } from './layer-scans.js';
import type { ScansOfStep } from './model-time.js';
import { type ScanCandidate, type ScansOnLinks, scanCandidates } from './scan-candidates.js';
import type { TimeScans } from './scan-time.js';
import type { StrategyCost } from './strategies.js';

export interface ScanInputs {
  readonly job: Pick<JobSpec, 'parallel'>;
  readonly trace: Pick<ModelTrace, 'recurrences' | 'layers'>;
  /** Those that the job's mode and nodes allow. */
  readonly strategies: readonly StrategyCost[];
  readonly fabric: Fabric;
  /** Segments that a rank holds. */
  readonly units: number;
  /** Neighbouring ranks of a sequence that share a node. */
  readonly ranksPerNode: number;
  readonly timeScans: TimeScans;
  /** By layer; left out: not known, so that nothing is counted as overlapped. */
  readonly workOf?: ((layer: number) => LayerWork) | undefined;
}

/** How the states of a model cross ranks. */
export interface ScanPlan {
  /** The strategy of all layers; `mixed` where they differ. */
  readonly strategy: string;
  /** By layer; empty on one rank. */
  readonly scans: ScanChoice[];
  /** What the choice was made of, for each kind of layer. */
  readonly tables: ModelledScans[];
  /** Scans of a whole step: of every strategy that could run all layers with the best options of each, and of the choice. */
  readonly steps: ScansOfStep[];
}

/** What is said instead of a strategy where layers have several. */
const mixed = 'mixed';

/** Chooses for every layer: as the job says, or what makes the step shortest. Pure. */
export function planScans(inputs: ScanInputs): ScanPlan {
  const { job, strategies, fabric, ranksPerNode, timeScans } = inputs;
  const { sp, strategy: asked } = job.parallel;
  const alike = layerScans(inputs.trace, inputs.units, inputs.workOf);
  const candidatesFor = (scans: ScansOnLinks['scans']) =>
    scanCandidates(strategies, job, { scans, fabric, ranksPerNode });
  const kinds = alike.map((scans): ScansOfKind => {
    const ranked = rankScans(scans, candidatesFor(scans), { sp, fabric, timeScans });
    const isAsked = ({ strategy: { name } }: ModelledScan) => asked === 'auto' || name === asked;
    const chosen = ranked.find(isAsked);
    if (chosen === undefined) throw new Error('no SP strategy is installed that can run a layer');
    return { scans, ranked, chosen };
  });
  const usual =
    mostUsual(kinds) ??
    candidatesFor({ recurrences: [], units: inputs.units }).find(
      ({ strategy }) => asked === 'auto' || strategy.name === asked,
    );
  if (usual === undefined) throw new Error('no SP strategy is installed');
  const names = new Set(kinds.map(({ chosen }) => chosen.strategy.name));
  const strategy = names.size > 1 ? mixed : usual.strategy.name;
  return {
    strategy,
    scans: sp === 1 ? [] : inputs.trace.layers.map((_, layer) => choiceOf(chosenFor(kinds, layer) ?? usual)),
    tables: sp === 1 ? [] : kinds.map((kind) => tableOf(kind, inputs.workOf !== undefined)),
    steps: stepsOf(kinds, strategies, strategy),
  };
}

/** Layers that are alike, and their candidates. */
interface ScansOfKind {
  readonly scans: LayerScans;
  readonly ranked: readonly ModelledScan[];
  readonly chosen: ModelledScan;
}

function mostUsual(kinds: readonly ScansOfKind[]): ScanCandidate | undefined {
  return [...kinds].sort((a, b) => b.scans.layers.length - a.scans.layers.length)[0]?.chosen;
}

function chosenFor(kinds: readonly ScansOfKind[], layer: number): ScanCandidate | undefined {
  return kinds.find(({ scans }) => scans.layers.includes(layer))?.chosen;
}

function choiceOf({ strategy, options }: ScanCandidate): ScanChoice {
  return { strategy: strategy.name, ...options };
}

function tableOf({ scans, ranked }: ScansOfKind, workIsKnown: boolean): ModelledScans {
  const { layers, recurrences, work } = scans;
  const sum = (of: (recurrence: RecurrenceTrace) => number) =>
    recurrences.reduce((total, recurrence) => total + of(recurrence), 0);
  return {
    layers: [...layers],
    kinds: recurrences.map(({ kind }) => kind),
    stateBytes: sum(({ stateBytes }) => stateBytes),
    transitionBytes: sum(({ transitionBytes }) => transitionBytes),
    besideS: workIsKnown ? work.forward.besideS + work.reverse.besideS : null,
    candidates: ranked.map((one) => ({
      ...choiceOf(one),
      ...{ seconds: one.seconds, exposedS: one.exposedS, isBound: one.isBound },
      bytesSent: Math.max(...one.bytesSentByRank),
    })),
  };
}

function stepsOf(
  kinds: readonly ScansOfKind[],
  strategies: readonly StrategyCost[],
  chosen: string,
): ScansOfStep[] {
  const withBest = ({ name }: StrategyCost) =>
    kinds.map(({ scans, ranked }) => ({ scans, one: ranked.find(({ strategy }) => strategy.name === name) }));
  const rows = strategies.flatMap((strategy): ScansOfStep[] => {
    const best = withBest(strategy).flatMap(({ scans, one }) => (one === undefined ? [] : [{ scans, one }]));
    return best.length < kinds.length ? [] : [stepOf(strategy.name, best)];
  });
  if (chosen !== mixed) return rows;
  return [
    ...rows,
    stepOf(
      mixed,
      kinds.map(({ scans, chosen: one }) => ({ scans, one })),
    ),
  ];
}

function stepOf(strategy: string, kinds: readonly { scans: LayerScans; one: ModelledScan }[]): ScansOfStep {
  const bytesSentByRank: number[] = [];
  let seconds = 0;
  for (const { scans, one } of kinds) {
    seconds += scans.layers.length * one.seconds;
    one.bytesSentByRank.forEach((bytes, rank) => {
      bytesSentByRank[rank] = (bytesSentByRank[rank] ?? 0) + scans.layers.length * bytes;
    });
  }
  return { strategy, seconds, bytesSentByRank };
}
