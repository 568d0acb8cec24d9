export { type Batch, ignoredLabel } from './batch.js';
export { BatchSchedule, type DataPosition } from './batch-schedule.js';
export { bigramEntropy } from './bigram-entropy.js';
export { DataLoader } from './data-loader.js';
export { openText, type TextPart, type TextParts } from './text-source.js';
