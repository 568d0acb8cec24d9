export { chainSeconds } from './chain.js';
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
export { type TraceSizes, traceModel } from './model/trace.js';
export { type StepDefinition, stepwise } from './stepwise.js';
export {
  type Direction,
  defineStrategy,
  type LinkCost,
  type PendingState,
  type ScanCost,
  type SegmentBytes,
  type Strategy,
  type StrategyOptions,
} from './strategy.js';
export { supportsTransition } from './strategy-support.js';
