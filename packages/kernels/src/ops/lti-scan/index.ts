import type { ForwardCall } from '../../autograd/define-op.js';
import type { RecurrenceInputs, RecurrenceOp } from '../../recurrence-op.js';
import { sweepRecurrence } from '../../sweep-recurrence.js';
import { expectShape, type Tensor } from '../../tensor.js';
import { expectTypes, wideType } from '../../types-of.js';
import { statesOnGpu } from './kept-on-gpu.js';
import type { LtiScanArguments } from './native.js';
import './native.js';
import { ltiScanReference } from './reference.js';

/** `real`: u and y are [B, T, C]; `complex`: both are [B, T, 2C], the real parts before the imaginary ones. */
export type LtiSignal = 'real' | 'complex';

export interface LtiScanInputs extends RecurrenceInputs {
  /** [B, T, C], complex [B, T, 2C]. */
  readonly u: Tensor;
  /** log λ with a real part <= 0, (re, im), [C, N, 2]. */
  readonly logLambda: Tensor;
  /** Weights of the outputs (re, im), [C, N, 2]; what multiplies the input may be folded in. */
  readonly w: Tensor;
}

/** Tokens between two states that are kept for the backward pass on a CPU; `ltiChunk` in lti_scan.h. */
const chunkTokens = 64;

/**
 * A linear time-invariant recurrence with a diagonal complex matrix: h_t = λ h_{t-1} + u_t for each of N numbers per
 * channel, y_t = Σ_n w_n h_t, of which a `real` scan gives the real part (S4D, arXiv 2206.11893, section 3; S5, arXiv
 * 2208.04933, section 3, with N = 1 and complex signals). States are [B, C, 1, 2N], (re, im) in turn; M is λ^T, known
 * from the length.
 */
export function ltiScan(signal: LtiSignal): RecurrenceOp<LtiScanInputs> {
  const name = `lti-scan (${signal})`;
  const isComplex = signal === 'complex';

  const stateShape = ({ u, logLambda, w }: LtiScanInputs): readonly [number, number, number, number] => {
    expectShape(name, 'logLambda', logLambda, [-1, -1, 2]);
    expectShape(name, 'w', w, logLambda.shape);
    const [C, N] = logLambda.shape as [number, number];
    expectShape(name, 'u', u, [-1, -1, isComplex ? 2 * C : C]);
    expectTypes(name, { logLambda, w }, wideType(u.dtype));
    return [u.dim(0), C, 1, 2 * N];
  };
  const common = (
    call: ForwardCall,
    { u, logLambda, w }: LtiScanInputs,
    resets: Tensor | null,
  ): LtiScanArguments => [call.stream, isComplex, u.id, logLambda.id, w.id, resets?.id ?? null];
  /** Counts `perState` FLOPs for each token and complex number of state. */
  const count = (call: ForwardCall, { u, logLambda }: LtiScanInputs, perState: number): void => {
    call.device.flops += (perState * u.dim(0) * u.dim(1) * logLambda.size) / 2;
  };

  return sweepRecurrence({
    name,
    transition: 'fixed-complex',
    shared: ['logLambda', 'w'],
    stateShape,

    forward(call, inputs, resets, h0) {
      const { u } = inputs;
      const [B, C, , size] = stateShape(inputs);
      const T = u.dim(1);
      const output = call.empty(u.shape, u.dtype);
      const finalState = call.empty([B, C, 1, size], wideType(u.dtype));
      const head = common(call, inputs, resets);
      const numStates = call.device.isGpu ? statesOnGpu(B, T, C, size / 2) : Math.ceil(T / chunkTokens);
      const checkpoints = call.empty([B, numStates, C, size], wideType(u.dtype));
      call.native.ltiScanForward(...head, h0?.id ?? null, output.id, checkpoints.id, finalState.id, null);
      count(call, inputs, isComplex ? 16 : 12);
      return { output, finalState, kept: { checkpoints } };
    },

    summarize(call, inputs, resets) {
      const [B, C, R, size] = stateShape(inputs);
      const state = call.empty([B, C, R, size], wideType(inputs.u.dtype));
      const factor = call.empty([B, C, size], wideType(inputs.u.dtype));
      call.native.ltiScanForward(...common(call, inputs, resets), null, null, null, state.id, factor.id);
      count(call, inputs, 8);
      return { state, factor };
    },

    adjoint(call, inputs, resets, dy) {
      const adjoint = call.empty(stateShape(inputs), wideType(dy.dtype));
      call.native.ltiScanAdjoint(...common(call, inputs, resets), dy.id, adjoint.id);
      count(call, inputs, 12);
      return adjoint;
    },

    backward(call, inputs, resets, { kept }, dy, dht, wantIncoming) {
      const { u, logLambda, w } = inputs;
      const gradients = {
        u: call.empty(u.shape, u.dtype),
        logLambda: call.empty(logLambda.shape, logLambda.dtype),
        w: call.empty(w.shape, w.dtype),
      };
      const incoming = call.empty(stateShape(inputs), wideType(u.dtype));
      call.native.ltiScanBackward(
        ...common(call, inputs, resets),
        dy.id,
        kept.checkpoints!.id,
        dht?.id ?? null,
        gradients.u.id,
        gradients.logLambda.id,
        gradients.w.id,
        incoming.id,
      );
      count(call, inputs, 36);
      return { gradients, incoming: wantIncoming ? incoming : null };
    },

    reference({ u, logLambda, w }, resets, h0) {
      const [B, T] = u!.shape as [number, number];
      const [C, N] = logLambda!.shape as [number, number];
      const values = { u: u!.values, logLambda: logLambda!.values, w: w!.values };
      return ltiScanReference({ B, T, C, N, complex: isComplex, resets }, values, h0);
    },
  });
}
