export { type ErrorParts, LongscanError, reportBug } from '@longscan/kernels/errors';
export {
  type Assignment,
  assignmentSchema,
  type Task,
} from './assignment.js';
export {
  type BenchOp,
  type BenchRecurrence,
  type BenchShape,
  benchOps,
  benchRecurrences,
  type StepPart,
  stepParts,
} from './bench.js';
export { bytesPerF32 } from './bytes.js';
export { decodeFrame, encodeFrame, sameVersion, type WireValue } from './codec.js';
export {
  burstLength,
  type CollectiveCase,
  type CollectivesResult,
  type CollectiveTimes,
  collectivesResultSchema,
  type MeasuredTransition,
  measuredTransitions,
} from './collectives.js';
export { writeRemedies } from './disk-remedies.js';
export {
  type Fact,
  type FactName,
  factMessageSchema,
  factSchemas,
  type Known,
  type Refusal,
} from './facts.js';
export { type FrameFault, frameLimits, scanFrame } from './frame-scanner.js';
export {
  defaultMaskRate,
  type JobFile,
  type JobSpec,
  jobFileSchema,
  jobSpecSchema,
  type LayerEntry,
  parseMemory,
  resumableKeys,
} from './job-spec.js';
export { type KeyFile, keyFileSchema } from './key-file.js';
export {
  type Addresses,
  type CheckpointSaved,
  type CoordinatorBody,
  type CoordinatorFrame,
  coordinatorFrameSchema,
  type Done,
  type Failed,
  type Heartbeat,
  type Hello,
  type Incident,
  type Progress,
  protocolVersion,
  type RankBody,
  type RankFrame,
  type RankTable,
  type Ready,
  type Report,
  rankFrameSchema,
  type StepMetrics,
  type TrainResult,
  type ValidationMetrics,
} from './messages.js';
export {
  isMetricsRow,
  isStepRow,
  type MetricsRow,
  type PerRankStep,
  type StepRow,
  type ValidationRow,
} from './metrics.js';
export { type Phase, phases } from './phases.js';
export {
  type AttentionTrace,
  type ChainPlan,
  type FetchTrace,
  type HaloTrace,
  type LayerTrace,
  type Mesh,
  type ModelledScans,
  type ModelledStrategy,
  type ModelTrace,
  type Plan,
  type PlanFabric,
  planSchema,
  type RecurrenceTrace,
  type ScanChoice,
  type Slice,
  type SumTrace,
} from './plan.js';
export {
  type MissingRecurrence,
  type RecurrencesResult,
  type RecurrenceTimes,
  recurrencesResultSchema,
} from './recurrences.js';
export type { TextIdentity, Texts } from './texts.js';
export { type TraceHeader, traceHeaderSchema } from './trace-file.js';
export { traceFolder, traceHeaderVersion, traceName } from './trace-place.js';
export {
  maxTracedSteps,
  parseTraceWindow,
  type TraceWindow,
  traceWindowPattern,
  usualTraceWindow,
} from './trace-window.js';
