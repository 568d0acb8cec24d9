import type {
  ChainPlan,
  JobSpec,
  ModelledScans,
  ModelledStrategy,
  ModelTrace,
  Plan,
} from '@longscan/worker/protocol';
import { bytesPerF32 } from '@longscan/worker/protocol';
import type { Fabric } from '../fabric/fabric.js';
import { formatBytes, formatSeconds } from '../format.js';
import type { AttentionPlan } from './attention.js';
import { canonicalSegments } from './canonical-units.js';
import { describeLayerRange, describeScan } from './describe-scans.js';
import { gradientBucketBytes } from './gradient-buckets.js';
import type { LayerWork } from './layer-scans.js';
import type { Layout } from './layout.js';
import { modelStep } from './model-time.js';
import { nodeSize } from './nodes.js';
import { planScans } from './plan-scans.js';
import { type TimeScans, timeByFormula } from './scan-time.js';
import type { StrategyCost } from './strategies.js';

/** Everything a plan is made of; the same inputs always make the same plan. */
export interface PlanInputs {
  readonly jobSpec: JobSpec;
  readonly layout: Layout;
  /** Of the model on one rank with this layout. */
  readonly trace: ModelTrace;
  readonly strategies: readonly StrategyCost[];
  readonly attention: AttentionPlan;
  readonly fabric: Fabric;
  /** Those of the whole job, between its nodes too: gradients are summed over all ranks. */
  readonly links: Fabric;
  /** How chains go, which `fabric` is in keeping with (`withCarrier`); null or left out: as messages, like all else. */
  readonly chains?: ChainPlan | null;
  /** Default: by the strategies' formulas. */
  readonly timeScans?: TimeScans;
  /** What a layer computes beside its scans; left out: not known. */
  readonly workOf?: (layer: number) => LayerWork;
}

/** Who does what, and what it will cost; of memory, what ranks hold between steps: `withMemory` adds the steps. Pure. */
export function plan(inputs: PlanInputs): Plan {
  const { jobSpec, layout, trace, strategies, attention, fabric, links } = inputs;
  const { sp } = layout.mesh;
  const units = (canonicalSegments(jobSpec) ?? sp) / sp;
  const ranksPerNode = nodeSize(jobSpec, fabric);
  const timeScans = inputs.timeScans ?? timeByFormula(sp, fabric);
  const { workOf } = inputs;
  const scanInputs = { job: jobSpec, trace, strategies, fabric, units, ranksPerNode, timeScans, workOf };
  const { strategy, scans, tables, steps } = planScans(scanInputs);
  const modelled = steps
    .map((step) => modelStep(sp, trace, step, fabric, attention.cost))
    .sort((a, b) => a.seconds - b.seconds || (a.strategy < b.strategy ? -1 : 1));
  const tokensPerRank = layout.sequencesPerRank * (layout.paddedLength / sp);
  return {
    jobSpec,
    mesh: layout.mesh,
    slices: [...layout.slices],
    paddedLength: layout.paddedLength,
    padTokens: layout.padTokens,
    sequencesPerRank: layout.sequencesPerRank,
    strategy,
    scans,
    attentionStrategy: attention.strategy,
    ranksPerNode,
    gradientBucketBytes: gradientBucketBytes(jobSpec, layout.mesh, trace.numParameters * bytesPerF32, links),
    perRank: {
      ...restingMemory(trace, jobSpec, layout),
      stateBytes: trace.recurrences.reduce((sum, recurrence) => sum + recurrence.stateBytes, 0),
      flopsPerStep: trace.flopsPerToken * tokensPerRank,
    },
    ...(inputs.chains && { chains: inputs.chains }),
    modelledScans: tables,
    modelled,
    modelledAttention: [...attention.modelled],
    notes: [
      ...objectiveNotes(jobSpec),
      ...paddingNotes(layout),
      ...unitNotes(jobSpec, layout),
      ...timeSliceNotes(jobSpec, layout, trace),
      ...strategyNotes(jobSpec, tables, attention.modelled, fabric),
    ],
  };
}

/** What a rank holds between two steps, before any was taken. */
function restingMemory({ numParameters }: ModelTrace, jobSpec: JobSpec, layout: Layout) {
  const parameterBytes = numParameters * bytesPerF32;
  const momentBytes = numParameters * momentsBytesPerParameter(jobSpec);
  const optimizerBytes = Math.ceil(momentBytes / optimizerShards(jobSpec, layout));
  const bytes = 2 * parameterBytes + optimizerBytes;
  return {
    ...{ numParameters, parameterBytes, gradientBytes: parameterBytes, optimizerBytes },
    ...{ activationBytes: 0, communicationBytes: 0, peakBytes: bytes, reservedBytes: bytes },
  };
}

/** AdamW keeps two moments of every parameter. */
export function momentsBytesPerParameter({ optimizer }: JobSpec): number {
  return 2 * (optimizer.moments === 'bf16' ? 2 : bytesPerF32);
}

/** Parts that the moments are cut into: one for each rank where they are sharded. */
function optimizerShards({ parallel }: JobSpec, { mesh }: Layout): number {
  return parallel.zero === 0 ? 1 : mesh.numRanks;
}

function objectiveNotes({ model, data }: JobSpec): string[] {
  if (model.objective === 'causal') return [];
  const percent = Number((100 * data.maskRate).toPrecision(3));
  return [`masked: ${percent} % of the tokens are hidden, and found from those on both sides`];
}

function paddingNotes({ padTokens, paddedLength, slices }: Layout): string[] {
  if (padTokens === 0) return [];
  const length = paddedLength - padTokens;
  const last = slices.at(-1);
  return [
    `${length} tokens are padded to ${paddedLength}: ${padTokens} masked tokens at the end of the last slice, which holds ${last?.numTokens} real ones`,
  ];
}

function unitNotes(jobSpec: JobSpec, { paddedLength, mesh }: Layout): string[] {
  const segments = canonicalSegments(jobSpec);
  if (segments === null) return [];
  const length = paddedLength / segments;
  return [
    `deterministic: ${segments} canonical segments of ${length} tokens a sequence, ${segments / mesh.sp} on each rank, one sequence after the other`,
  ];
}

function timeSliceNotes({ model }: JobSpec, layout: Layout, trace: ModelTrace): string[] {
  const { timeSlice, keptMlps } = model;
  if (timeSlice === 0) return [];
  const numSlices = Math.ceil(layout.paddedLength / timeSlice);
  if (numSlices === 1) return [`time slices of ${timeSlice} tokens hold the whole sequence`];
  const stateBytes = trace.recurrences.reduce((sum, recurrence) => sum + recurrence.stateBytes, 0);
  const haloBytes = trace.halos.reduce((sum, { bytes }) => sum + bytes, 0);
  return [
    `${numSlices} time slices of ${timeSlice} tokens: all but the last run forward twice; of each border ${formatBytes(stateBytes + haloBytes)} of states and halos are kept`,
    ...(keptMlps > 0
      ? [
          `outputs of MLPs are kept for the second time, of the first ${keptMlps} blocks: ${formatBytes(trace.keptMlpBytes / keptMlps)} a block`,
        ]
      : []),
  ];
}

function strategyNotes(
  { parallel }: JobSpec,
  tables: readonly ModelledScans[],
  modelledAttention: readonly ModelledStrategy[],
  fabric: Fabric,
): string[] {
  if (parallel.sp === 1) {
    const found = fabric.probe === undefined ? [] : (fabric.notes ?? []);
    return [...found, 'one rank holds the whole sequence: no state crosses ranks'];
  }
  return [
    ...(fabric.notes ?? []),
    ...(parallel.strategy === 'auto' ? tables.flatMap((table) => scanNotes(table, fabric)) : []),
    ...(parallel.attentionStrategy === 'auto'
      ? choiceNotes('attention strategy', modelledAttention, fabric)
      : []),
  ];
}

/** Why the first was chosen for these layers, against the best of another strategy. */
function scanNotes({ layers, candidates, besideS }: ModelledScans, fabric: Fabric): string[] {
  const [first] = candidates;
  const second = candidates.find(({ strategy }) => strategy !== first?.strategy);
  if (first === undefined || second === undefined) return [];
  const beside = besideS === null ? '' : ` beside ${formatSeconds(besideS)} of computation`;
  return [
    `${describeLayerRange(layers)}: ${describeScan(first)} was chosen: modelled for ${fabric.name}, its scans make a step ${formatSeconds(first.exposedS)} longer a layer${beside}, those of ${describeScan(second)} ${formatSeconds(second.exposedS)}`,
  ];
}

/** Why the first of them was chosen, if there was a choice. */
function choiceNotes(what: string, [first, second]: readonly ModelledStrategy[], fabric: Fabric): string[] {
  if (first === undefined || second === undefined) return [];
  const [time, other] = [first, second].map(({ seconds }) => formatSeconds(seconds));
  const against = `${time} a step against ${other} of ${second.strategy}`;
  return [`${what} ${first.strategy} was chosen: modelled for ${fabric.name} at ${against}`];
}
