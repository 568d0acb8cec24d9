export { type TransitionCase, transitionReference } from '../ops/transition/reference.js';
export { checkOp, type OpCheck } from './check-op.js';
export { expectClose, relativeRms } from './compare.js';
export { randomNormal, randomSource, randomUniform } from './random.js';
export { absoluteFloor, tolerances } from './tolerances.js';
