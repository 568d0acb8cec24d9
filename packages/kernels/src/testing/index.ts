export { type TransitionCase, transitionReference } from '../ops/transition/reference.js';
export { checkOp, type OpCheck } from './check-op.js';
export { checkRecurrence, type RecurrenceCheck, type RecurrenceInput } from './check-recurrence.js';
export { expectClose, relativeRms } from './compare.js';
export { documentStarts } from './document-starts.js';
export { randomNormal, randomSource, randomUniform } from './random.js';
export { placeTokens, sliceTokens } from './slices.js';
export { absoluteFloor, tolerances } from './tolerances.js';
