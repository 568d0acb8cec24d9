export { type ErrorParts, LongscanError } from '@longscan/kernels';
export {
  type JobFile,
  type JobSpec,
  jobFileSchema,
  jobSpecSchema,
  type LayerEntry,
  resumableKeys,
  runNamePattern,
} from './job-spec.js';
export {
  type Mesh,
  type ModelledStrategy,
  type ModelTrace,
  type Plan,
  planSchema,
  type RankCost,
  type RecurrenceTrace,
  type Slice,
} from './plan.js';
