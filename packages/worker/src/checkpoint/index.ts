export { type DurableFs, nodeFs } from './durable-fs.js';
export { type LeftCheckpoint, leaveCheckpoints } from './leave.js';
export {
  type CheckpointEntry,
  checkpointName,
  checkpointsFolder,
  latestCommitted,
  listCheckpoints,
  listLeft,
} from './list.js';
export { checkSignature, type OpenCheckpoint, openCheckpoint, resolveCheckpoint } from './load.js';
export { readManifest } from './manifest.js';
export type { Manifest, TensorSignature } from './parse-manifest.js';
export type { SafetensorsDtype } from './safetensors-format.js';
export { SafetensorsFile } from './safetensors-reader.js';
export type { TensorEntries, TensorEntry } from './safetensors-writer.js';
export { type CheckpointContent, type SaveContext, type SaveOptions, saveCheckpoint } from './save.js';
export { type LatestValid, latestValid, verifyCheckpoint } from './verify.js';
