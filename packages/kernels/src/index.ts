export {
  type BackwardCall,
  defineOp,
  type ForwardCall,
  forwardCall,
  type OpInputs,
} from './autograd/define-op.js';
export {
  type CheckedInput,
  type GradCheckOptions,
  type GradientMismatch,
  gradCheck,
} from './autograd/grad-check.js';
export { reshape } from './autograd/reshape.js';
export { type RecurrenceState, runRecurrence } from './autograd/run-recurrence.js';
export { Tape, type TapeNode } from './autograd/tape.js';
export { TokenUnits } from './autograd/token-units.js';
export { nearestBf16, widenedBf16 } from './bf16.js';
export { type ChainCut, type CutState, chainCut, fitsChain, peerSlots } from './comm/chain-cut.js';
export { type Communicator, type Message, NativeCommunicator } from './comm/communicator.js';
export { createInProcessGroup } from './comm/in-process.js';
export {
  connectNccl,
  createNcclGroupId,
  type NcclGroupOptions,
  type NcclInfo,
  openNccl,
} from './comm/nccl.js';
export {
  type ChainCarrier,
  describeCarrier,
  PeerCommunicator,
  type PeerMemory,
  peerMemoryFromEnv,
} from './comm/peer-memory.js';
export { connectTcp, type Listener, openListener, type TcpGroupOptions } from './comm/tcp.js';
export {
  type CpuDeviceOptions,
  type CudaDeviceOptions,
  countGpus,
  Device,
  openCpuDevice,
  openCudaDevice,
  openShapeDevice,
  ShapeDevice,
  type ShapeDeviceOptions,
} from './device.js';
export { type ErrorParts, LongscanError, reportBug } from './errors.js';
export type { CudaInfo, MemoryStats, Native, OpTime } from './native.js';
export type { NativeObserver } from './observed-native.js';
export {
  type AdamwOptions,
  type AdamwTensors,
  adamw,
  type MomentRounding,
  sumParts,
} from './ops/adamw/index.js';
export { add, axpy } from './ops/add/index.js';
export {
  type AttentionGradients,
  type AttentionInputs,
  type AttentionOptions,
  type AttentionResult,
  attendBlock,
  attendBlockBackward,
  attention,
  type ChunkGrid,
  chunkEnds,
} from './ops/attention/index.js';
export { batchedMatmul, type MatmulOptions } from './ops/batched-matmul/index.js';
export { blockLinear } from './ops/block-linear/index.js';
export { addAlong, mulAlong, repeatHeads, sub, sumHeads } from './ops/broadcast/index.js';
export {
  type CausalConvInputs,
  type CausalConvOptions,
  causalConv,
  scaleHeads,
  type UnitHeads,
} from './ops/causal-conv/index.js';
export { concatLast, splitLast } from './ops/columns/index.js';
export {
  type ComplexFunctionName,
  complexFunction,
  complexMul,
} from './ops/complex/index.js';
export { type CrossEntropyOptions, crossEntropy } from './ops/cross-entropy/index.js';
export {
  type DeltaErase,
  type DeltaGate,
  type DeltaRead,
  type DeltaRuleInputs,
  type DeltaRuleOptions,
  deltaRule,
} from './ops/delta-rule/index.js';
export {
  chunkStarts,
  type DocumentPositionsOptions,
  documentPositions,
} from './ops/document-positions/index.js';
export { embedding } from './ops/embedding/index.js';
export { type FeatureMapKind, featureMap } from './ops/feature-map/index.js';
export { flip } from './ops/flip/index.js';
export {
  type BonusLinearInputs,
  type DecayKind,
  type GatedLinearInputs,
  type GatedLinearOptions,
  gatedLinear,
} from './ops/gated-linear/index.js';
export { joinedLinear, takesJoinedHeads } from './ops/gated-linear/joined.js';
export { type GateActivation, type GatedNormInputs, gatedNorm } from './ops/gated-norm/index.js';
export { type Clip, clipFactor, readClip, sumOfParts, sumOfSquares } from './ops/grad-norm/index.js';
export { type Halves, joinHalves, splitHalves } from './ops/halves/index.js';
export { layerNorm } from './ops/layer-norm/index.js';

export { type GemmInfo, gemmInfo, linear } from './ops/linear/index.js';
export { areJoinable, linearJoined } from './ops/linear/joined.js';
export { type LtiScanInputs, type LtiSignal, ltiScan } from './ops/lti-scan/index.js';
export { type MesaInputs, mesa } from './ops/mesa/index.js';
export { type MlstmInputs, mlstm } from './ops/mlstm/index.js';
export { appendOnes, normalizeLast } from './ops/normalizer/index.js';
export {
  type ActivationName,
  type ActivationOptions,
  activation,
  affine,
  cast,
  copy,
  fill,
  mul,
  scale,
  wide,
} from './ops/pointwise/index.js';
export { fillNormal, type RandomKey } from './ops/random/index.js';
export { resetBits } from './ops/reset-bits/index.js';
export { l2Norm, type ResidualNormInputs, residualNorm, rmsNorm } from './ops/rms-norm/index.js';
export { type RotaryOptions, rotary } from './ops/rotary/index.js';
export { type SelectiveScanInputs, selectiveScan } from './ops/selective-scan/index.js';
export { addTailGradient, type Sequence, sequenceTail } from './ops/sequence-tail/index.js';
export { type SlstmInputs, slstm } from './ops/slstm/index.js';
export { route, softmax } from './ops/softmax/index.js';
export { sumRows } from './ops/sum-rows/index.js';
export { swapAxes } from './ops/swap-axes/index.js';
export { gatedMlp } from './ops/swiglu/gated-mlp.js';
export { swiglu } from './ops/swiglu/index.js';
export { type TokenShiftInputs, tokenShift } from './ops/token-shift/index.js';
export {
  applyTransition,
  composeTransitions,
  denseTransitionCode,
  type RowRange,
  transitionWireElements,
} from './ops/transition/index.js';
export { type VectorScanInputs, vectorScan } from './ops/vector-scan/index.js';
export { where } from './ops/where/index.js';
export type {
  ForwardRecord,
  HostTensor,
  Kept,
  RecurrenceGradients,
  RecurrenceInputs,
  RecurrenceOp,
  SegmentSummary,
  TransitionKind,
  UnorderedForm,
} from './recurrence-op.js';
export { restarting, type WithPositions } from './restarting.js';
export { type Event, type Graph, Stream } from './stream.js';
export type { OpProfile, StreamTrace, TraceSpan } from './stream-trace.js';
export {
  bytesByCode,
  type DType,
  dtypeBytes,
  empty,
  emptyLike,
  expectShape,
  fromArray,
  type HostArray,
  hostArray,
  Tensor,
  zeros,
} from './tensor.js';
export { wideType } from './types-of.js';
