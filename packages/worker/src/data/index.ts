export { type Batch, ignoredLabel } from './batch.js';
export { BatchSchedule, type DataPosition } from './batch-schedule.js';
export { bigramEntropy } from './bigram-entropy.js';
export { cutInTime } from './cut-in-time.js';
export { DataLoader } from './data-loader.js';
export type { TextPart } from './text-part.js';
export { openText, type TextParts } from './text-source.js';
