import { usualNode } from '../conformance/rank-set.js';
import { type JobSpec, parseMemory } from '../protocol/job-spec.js';
import type { Plan } from '../protocol/plan.js';

export interface PlainPlanOptions {
  readonly strategy?: string;
  readonly attention?: string;
}

const nothing = {
  ...{ numParameters: 0, parameterBytes: 0, gradientBytes: 0, optimizerBytes: 0 },
  ...{
    activationBytes: 0,
    communicationBytes: 0,
    peakBytes: 0,
    reservedBytes: 0,
    stateBytes: 0,
    flopsPerStep: 0,
  },
};

/** A plan that says who does what of a job, without what it would cost: its sequences fill slices of whole chunks. */
export function plainPlan(
  jobSpec: JobSpec,
  { strategy = 'all-scan', attention = 'kv-all-gather' }: PlainPlanOptions = {},
): Plan {
  const { sp, dp } = jobSpec.parallel;
  const { sequenceLength, batchSize } = jobSpec.data;
  const length = sequenceLength / sp;
  return {
    jobSpec,
    mesh: { sp, dp, numRanks: sp * dp },
    slices: Array.from({ length: sp }, (_, i) => ({ start: i * length, length, numTokens: length })),
    paddedLength: sequenceLength,
    padTokens: 0,
    sequencesPerRank: batchSize / dp,
    strategy,
    scans:
      sp === 1 ? [] : jobSpec.model.layers.map(() => ({ strategy, blocks: 3, ranksPerNode: usualNode(sp) })),
    attentionStrategy: attention,
    ranksPerNode: usualNode(sp),
    gradientBucketBytes: parseMemory(jobSpec.parallel.gradientBucket),
    perRank: nothing,
    modelledScans: [],
    modelled: [],
    modelledAttention: [],
    notes: [],
  };
}
