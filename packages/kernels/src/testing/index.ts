export { openFakeNcclGroup } from '../comm/testing/groups.js';
export { type TransitionCase, transitionReference } from '../ops/transition/reference.js';
export {
  bidirectionalReference,
  documentEnds,
  reversedTokens,
} from './bidirectional-reference.js';
export { checkBothWays, checkBothWaysOnGpu } from './check-both-ways.js';
export { checkOp, type OpCheck } from './check-op.js';
export { checkOpOnGpu, eitherWay } from './check-op-on-gpu.js';
export { checkRecurrence } from './check-recurrence.js';
export { checkRecurrenceOnGpu, type GpuTypes } from './check-recurrence-on-gpu.js';
export { checkRemade, type RemadeCheck } from './check-remade.js';
export { expectClose, expectSameBits, relativeRms } from './compare.js';
export { documentStarts } from './document-starts.js';
export { failureOf, fakeDriver, fakeKernels, fakeNccl, rejectionOf, withFakeGpu } from './fake-gpu.js';
export { fromNumbers, roundedTo } from './from-numbers.js';
export { type GpuRankOptions, runGpuRank } from './gpu-rank.js';
export { GpuRanks } from './gpu-ranks.js';
export { randomNormal, randomSource, randomUniform } from './random.js';
export type { RecurrenceCheck, RecurrenceInput } from './recurrence-problem.js';
export { placeTokens, sliceTokens } from './slices.js';
export { absoluteFloor, tolerances } from './tolerances.js';
