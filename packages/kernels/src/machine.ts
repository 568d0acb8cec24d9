/** What tells what a machine has, without the ops: for a process that asks one thing and ends. */
export { connectNccl, createNcclGroupId, openNccl } from './comm/nccl.js';
export { peerMemoryFromEnv } from './comm/peer-memory.js';
export { countGpus, openCpuDevice, openCudaDevice } from './device.js';
export { LongscanError } from './errors.js';
export { gemmInfo } from './ops/linear/index.js';
