import type { ForwardCall } from './autograd/define-op.js';
import type { Tensor } from './tensor.js';

/**
 * The kinds of M in S_out = M S_in + E that a run of tokens can have: none, one factor per head that is known from the
 * length, one that depends on the data, one factor per key channel.
 */
export type TransitionKind = 'identity' | 'fixed-scalar' | 'scalar' | 'diagonal';

/** What a run of tokens does to the state that enters it: `reset ? E : M S + E`. */
export interface SegmentSummary {
  /** E, [B, H, V, K]: a state, transposed so that its free axis (V, after B and H) is contiguous on the wire. */
  readonly state: Tensor;
  readonly kind: TransitionKind;
  /** M: null for identity, [B, H] for the scalar kinds, [B, H, K] for diagonal. */
  readonly factor: Tensor | null;
  /** [B], 1 where a document starts in the run, else 0; null when documents are not packed. */
  readonly reset: Tensor | null;
}

/** Named tensors of a recurrence; null for one that this kind does not have. */
export type RecurrenceInputs = Readonly<Record<string, Tensor | null>>;

/** A tensor's values in host memory, row-major. */
export interface HostTensor {
  readonly values: Float64Array;
  readonly shape: readonly number[];
}

/**
 * A linear recurrence as a kernel offers it, cut so that communication between ranks overlaps computation: what does
 * not need the incoming state comes before `finish`. All functions only enqueue. Gradients are by input name.
 */
export interface RecurrenceOp<I extends RecurrenceInputs = RecurrenceInputs> {
  readonly name: string;
  readonly transition: TransitionKind;
  /** Checks the inputs. Returns the shape of a state, [B, H, V, K]. @throws LongscanError E-SHAPE */
  stateShape(inputs: I): readonly number[];
  /** The slice from the state `h0` (null: zero). `resets`: i32 [B, T], 1 where a document starts. */
  prepare(call: ForwardCall, inputs: I, resets: Tensor | null, h0: Tensor | null): Prepared;
  /** What the slice does to a state; only after `prepare` without `h0`. */
  summarize(call: ForwardCall, prepared: Prepared): SegmentSummary;
  /** The output [B, T, H, V], given the state that enters the slice (null: zero, or given to `prepare`). */
  finish(
    call: ForwardCall,
    inputs: I,
    resets: Tensor | null,
    prepared: Prepared,
    incoming: Tensor | null,
  ): Tensor;
  /** dL/dS_in through this slice's outputs alone, [B, H, V, K]. */
  summarizeBackward(call: ForwardCall, inputs: I, resets: Tensor | null, outputGradient: Tensor): Tensor;
  /** What of the backward pass does not need the adjoint of the outgoing state. */
  prepareBackward(
    call: ForwardCall,
    inputs: I,
    resets: Tensor | null,
    incoming: Tensor | null,
    outputGradient: Tensor,
  ): PreparedBackward;
  /** All gradients, given the adjoint of the outgoing state (null: zero); that of the incoming state if `wantIncoming`. */
  finishBackward(
    call: ForwardCall,
    inputs: I,
    resets: Tensor | null,
    prepared: PreparedBackward,
    outputGradient: Tensor,
    outgoingAdjoint: Tensor | null,
    wantIncoming: boolean,
  ): { readonly gradients: { readonly [K in keyof I]?: Tensor | null }; readonly incoming: Tensor | null };
  /**
   * The definition, token by token in f64 on the host; shares no code with the functions above, which tests hold
   * against it. Gives the output [B, T, H, V] and the last state [B, H, V, K]; `h0` null: zero.
   */
  reference(
    inputs: { readonly [K in keyof I]: HostTensor | null },
    resets: Int32Array | null,
    h0: Float64Array | null,
  ): { readonly output: Float64Array; readonly finalState: Float64Array };
}

export interface Prepared {
  /** [B, T, H, V]; complete only after `finish`. */
  readonly output: Tensor;
  readonly summary: SegmentSummary;
}

/** Tensors handed from `prepareBackward` to `finishBackward`. */
export type PreparedBackward = Readonly<Record<string, Tensor | null>>;
