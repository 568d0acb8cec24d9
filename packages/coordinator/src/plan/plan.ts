import type { JobSpec, ModelledStrategy, ModelTrace, Plan } from '@longscan/worker/protocol';
import type { Fabric } from '../fabric/fabric.js';
import { formatBytes, formatSeconds } from '../format.js';
import type { AttentionPlan } from './attention.js';
import { canonicalSegments } from './canonical-units.js';
import { ableStrategies } from './check-layers.js';
import type { Layout } from './layout.js';
import { bestBlocks, modelStrategies } from './model-time.js';
import { nodeSize } from './nodes.js';
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
}

const bytesPerF32 = 4;
/** AdamW keeps two moments of every parameter. */
const numMoments = 2;

/** Who does what, and what it will cost; of memory, what ranks hold between steps: `withMemory` adds the steps. Pure. */
export function plan({ jobSpec, layout, trace, strategies, attention, fabric }: PlanInputs): Plan {
  const { sp } = layout.mesh;
  const able = ableStrategies(sp, trace, strategies);
  const units = (canonicalSegments(jobSpec) ?? sp) / sp;
  const modelled = modelStrategies(sp, trace, able, fabric, attention.cost, units);
  const strategy = chooseStrategy(jobSpec, modelled);
  const tokensPerRank = layout.sequencesPerRank * (layout.paddedLength / sp);
  return {
    jobSpec,
    mesh: layout.mesh,
    slices: [...layout.slices],
    paddedLength: layout.paddedLength,
    padTokens: layout.padTokens,
    sequencesPerRank: layout.sequencesPerRank,
    strategy,
    attentionStrategy: attention.strategy,
    blocks:
      jobSpec.parallel.blocks === 'auto'
        ? bestBlocks(sp, trace.recurrences, fabric)
        : jobSpec.parallel.blocks,
    ranksPerNode: nodeSize(jobSpec, fabric),
    perRank: {
      ...restingMemory(trace, optimizerShards(jobSpec, layout)),
      stateBytes: trace.recurrences.reduce((sum, recurrence) => sum + recurrence.stateBytes, 0),
      flopsPerStep: trace.flopsPerToken * tokensPerRank,
    },
    modelled,
    modelledAttention: [...attention.modelled],
    notes: [
      ...objectiveNotes(jobSpec),
      ...paddingNotes(layout),
      ...unitNotes(jobSpec, layout),
      ...timeSliceNotes(jobSpec, layout, trace),
      ...strategyNotes(jobSpec, modelled, attention.modelled, fabric),
    ],
  };
}

/** What a rank holds between two steps, before any was taken. */
function restingMemory({ numParameters, workingBytes }: ModelTrace, numShards: number) {
  const parameterBytes = numParameters * bytesPerF32;
  const optimizerBytes = Math.ceil((numMoments * parameterBytes) / numShards);
  const bytes = 2 * parameterBytes + optimizerBytes + workingBytes;
  return {
    ...{ numParameters, parameterBytes, gradientBytes: parameterBytes, optimizerBytes, workingBytes },
    ...{ activationBytes: 0, communicationBytes: 0, peakBytes: bytes, reservedBytes: bytes },
  };
}

/** Parts that the moments are cut into: one for each rank where they are sharded. */
function optimizerShards({ parallel }: JobSpec, { mesh }: Layout): number {
  return parallel.zero === 0 ? 1 : mesh.numRanks;
}

function chooseStrategy(jobSpec: JobSpec, modelled: readonly ModelledStrategy[]): string {
  const { strategy } = jobSpec.parallel;
  if (strategy !== 'auto') return strategy;
  const [fastest] = modelled;
  if (fastest === undefined) throw new Error('no SP strategy is installed');
  return fastest.strategy;
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

function timeSliceNotes({ model }: JobSpec, { paddedLength }: Layout, trace: ModelTrace): string[] {
  const { timeSlice } = model;
  if (timeSlice === 0) return [];
  const numSlices = Math.ceil(paddedLength / timeSlice);
  if (numSlices === 1) return [`time slices of ${timeSlice} tokens hold the whole sequence`];
  const stateBytes = trace.recurrences.reduce((sum, recurrence) => sum + recurrence.stateBytes, 0);
  const haloBytes = trace.halos.reduce((sum, { bytes }) => sum + bytes, 0);
  return [
    `${numSlices} time slices of ${timeSlice} tokens: all but the last run forward twice; of each border ${formatBytes(stateBytes + haloBytes)} of states and halos are kept`,
  ];
}

function strategyNotes(
  { parallel }: JobSpec,
  modelled: readonly ModelledStrategy[],
  modelledAttention: readonly ModelledStrategy[],
  fabric: Fabric,
): string[] {
  if (parallel.sp === 1) return ['one rank holds the whole sequence: no state crosses ranks'];
  return [
    ...(fabric.notes ?? []),
    ...(parallel.strategy === 'auto' ? choiceNotes('strategy', modelled, fabric) : []),
    ...(parallel.attentionStrategy === 'auto'
      ? choiceNotes('attention strategy', modelledAttention, fabric)
      : []),
  ];
}

/** Why the first of them was chosen, if there was a choice. */
function choiceNotes(what: string, [first, second]: readonly ModelledStrategy[], fabric: Fabric): string[] {
  if (first === undefined || second === undefined) return [];
  const [time, other] = [first, second].map(({ seconds }) => formatSeconds(seconds));
  const against = `${time} a step against ${other} of ${second.strategy}`;
  return [`${what} ${first.strategy} was chosen: modelled for ${fabric.name} at ${against}`];
}
