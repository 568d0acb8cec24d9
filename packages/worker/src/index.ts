export {
  type ChainCarrier,
  describeCarrier,
  type PeerMemory,
  peerMemoryFromEnv,
  peerSlots,
} from '@longscan/kernels';
export {
  type AttentionCall,
  type AttentionCost,
  type AttentionLayout,
  type AttentionStrategy,
  defineAttentionStrategy,
  type PlaceOnRanks,
} from './attention-strategy.js';
export { messageChainSeconds } from './chain.js';
export { blockSeconds, type MappedChain, mappedChain, mappedChainSeconds, mappedOn } from './chain-link.js';
export { directBytes, slowestLink } from './fabric.js';
export {
  type ConvolutionOptions,
  defineLayer,
  type Init,
  type Layer,
  type LayerConfig,
  type LayerContext,
  type LayerFunction,
  type LayerPlace,
  type LayerTransition,
  type ParameterDeclarer,
} from './layer.js';
export { hasAttention } from './model/has-attention.js';
export { objectivesOf } from './model/objectives.js';
export { type TraceSizes, traceModel } from './model/trace.js';
export { tooFewGpus } from './open-device.js';
export { type LayerOps, recordLayerOps } from './schedule/record-layer-ops.js';
export {
  type RecordScanOptions,
  recordScan,
  recordStrategyScan,
  type ScannedState,
} from './schedule/record-scan.js';
export { type RecordOptions, recordSchedules } from './schedule/record-schedules.js';
export type {
  ChainEntry,
  CollectiveEntry,
  ExchangeEntry,
  GroupName,
  OpEntry,
  RecordEntry,
  Schedule,
  ScheduledMessage,
  ScheduleEntry,
  WaitEntry,
} from './schedule/schedule.js';
export { type TraceMemoryOptions, withMemory } from './schedule/step-memory.js';
export { cutSequence, pieceLength, type SliceSizes, sliceLength } from './slice-layout.js';
export { type StepDefinition, stepwise } from './stepwise.js';
export {
  blockCounts,
  type ChainLinkCost,
  type Direction,
  defineStrategy,
  type FabricCost,
  type LinkCost,
  type PendingState,
  type ScanCost,
  type SegmentBytes,
  type Strategy,
  type StrategyOptions,
} from './strategy.js';
export { supportsTransition } from './strategy-support.js';
export {
  describePeak,
  neededBytes,
  processBytes,
  usablePart,
} from './training/memory-needed.js';
export { adviceOf, type Setting, type SettingSearch, settingsThatFit } from './training/settings-that-fit.js';
