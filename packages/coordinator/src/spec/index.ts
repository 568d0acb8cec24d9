export type { LoadedJob } from './check-job.js';
export { findDrift, type JobDrift, jobHash } from './job-hash.js';
export { type JobInput, type LoadJobOptions, loadJob } from './load-job.js';
export type { Origin } from './origin.js';
export type { Overrides } from './overrides.js';
export { JobErrors } from './problems.js';
export { isLayerPath } from './resolve-layers.js';
export { formatResolvedJob } from './write-resolved.js';
