import type { ForwardCall } from './autograd/define-op.js';
import type { Tensor } from './tensor.js';

/**
 * The kinds of M in S_out = M S_in + E that a run of tokens can have. A state is [B, H, R, N]; a row (one element of
 * the free axis) has N numbers, and M maps each row by itself, in the same way within a head:
 *
 * | kind           | row' =                                                      | factor          | travels   |
 * | identity       | row                                                         | null            |           |
 * | fixed-scalar   | f · row, f known from the length of the run                 | [B, H]          | no        |
 * | scalar         | f · row                                                     | [B, H]          | [B, H]    |
 * | diagonal       | f ∘ row                                                     | [B, H, N]       | [B, H, N] |
 * | exp-diagonal   | exp(rates · f) ∘ row, rates [H, N] known everywhere         | [B, H]          | [B, H]    |
 * | fixed-complex  | f ∘ row, N/2 complex numbers (re, im), known from the length | [B, H, N]       | no        |
 * | dense          | row · f, f = Mᵀ                                              | [B, H, N, N]    | all of it |
 * | log-max        | N - 1 numbers scaled by exp(-m), then m: see `log-max` below | [B, H]          | [B, H]    |
 * | opaque         | not affine: a chain runs the slices one after the other     |                 |           |
 *
 * `log-max` is affine in exp(m) · values; f is a sum of log decays. Of a row (x, m) comes (exp(f + m - m') x, m') with
 * m' = f + m, and two rows are added at the larger of their m. An empty row has m = -Infinity and zeros.
 */
export type TransitionKind =
  | 'identity'
  | 'fixed-scalar'
  | 'scalar'
  | 'diagonal'
  | 'exp-diagonal'
  | 'fixed-complex'
  | 'dense'
  | 'log-max'
  | 'opaque';

/** What a run of tokens does to the state that enters it: `reset ? E : M S + E`. */
export interface SegmentSummary {
  /** E, [B, H, R, N]: rows of the free axis (B, H, R) are contiguous on the wire. */
  readonly state: Tensor;
  readonly kind: TransitionKind;
  /** M, shaped as `TransitionKind` says. */
  readonly factor: Tensor | null;
  /** [H, N], for `exp-diagonal` only. */
  readonly rates?: Tensor | null;
  /** [B], not 0 where a document starts in the run; null when documents are not packed. */
  readonly reset: Tensor | null;
  /** M acts as its transpose: a segment of the reverse scan. */
  readonly transposed?: boolean;
}

/** Named tensors of a recurrence; null for one that this kind does not have. */
export type RecurrenceInputs = Readonly<Record<string, Tensor | null>>;

/** A tensor's values in host memory, row-major. */
export interface HostTensor {
  readonly values: Float64Array;
  readonly shape: readonly number[];
}

/** Tensors that one part of a recurrence hands to a later one. */
export type Kept = Readonly<Record<string, Tensor | null>>;

/** A segment of the reverse scan. */
export interface BackwardSummary extends SegmentSummary {
  /** What came out on the way and `prepareBackward` need not compute again. */
  readonly kept?: Kept;
}

/** What the forward pass knew, given to the backward pass. */
export interface ForwardRecord {
  /** From `forward` or `finish`. */
  readonly kept: Kept;
  /** The state that entered the slice; null: zero. */
  readonly incoming: Tensor | null;
}

/** Gradients by input name, and that of the incoming state where it was asked for. */
export interface RecurrenceGradients<I> {
  readonly gradients: { readonly [K in keyof I]?: Tensor | null };
  readonly incoming: Tensor | null;
}

/** A recurrence whose state is a sum over tokens: what all of them write, and what each reads of such a sum. */
export interface UnorderedForm<I> {
  /** [B, H, R, N], of the tokens at hand. */
  write(inputs: I): Tensor;
  /** The output [B, T, …]. */
  read(inputs: I, state: Tensor): Tensor;
}

/**
 * A linear recurrence as a kernel offers it, cut so that communication between ranks overlaps computation. Alone, a
 * slice runs `forward`; between ranks `prepare`, `summarize`, (the scan), `finish`; backward in both cases
 * `prepareBackward`, `finishBackward`, between ranks with `summarizeBackward` and the reverse scan before the latter.
 * All functions only enqueue, keep no state, and never modify an input. `resets`: i32 [B, T], 1 where a document
 * starts (the state is forgotten before that token), or null.
 */
export interface RecurrenceOp<I extends RecurrenceInputs = RecurrenceInputs> {
  readonly name: string;
  readonly transition: TransitionKind;
  /** Inputs that all tokens have in common; every other one is [B, T, …]. Left out: none. */
  readonly shared?: readonly string[];
  /**
   * Why outputs of a run with time and one against it do not add up. Left out: a token's output is affine in the state
   * that it meets, so they do, less what both have of the token itself.
   */
  readonly causalOnly?: string;
  /** That part, differentiable: the output [B, T, …] of each token as if it stood alone. Left out: a run finds it. */
  ownReads?(inputs: I): Tensor;
  /** For `identity`, where the order of tokens does not matter; both functions are differentiable. */
  readonly unordered?: UnorderedForm<I>;
  /** Checks the inputs. Returns the shape of a state, [B, H, R, N]. @throws LongscanError E-SHAPE */
  stateShape(inputs: I): readonly number[];

  /** The whole slice from a known state `h0` (null: zero). Output [B, T, …]. */
  forward(
    call: ForwardCall,
    inputs: I,
    resets: Tensor | null,
    h0: Tensor | null,
  ): { readonly output: Tensor; readonly finalState: Tensor; readonly kept: Kept };

  /** What needs no incoming state. */
  prepare(call: ForwardCall, inputs: I, resets: Tensor | null): Kept;
  /** What the slice does to a state. */
  summarize(call: ForwardCall, inputs: I, resets: Tensor | null, prepared: Kept): SegmentSummary;
  /** The output, given the state that enters the slice (null: zero). */
  finish(
    call: ForwardCall,
    inputs: I,
    resets: Tensor | null,
    prepared: Kept,
    incoming: Tensor | null,
  ): { readonly output: Tensor; readonly kept: Kept };

  /**
   * The segment of the reverse scan: E is dL/dS_in through this slice's outputs alone; M, that of `summary` (from the
   * forward pass) transposed, unless the kind says otherwise.
   */
  summarizeBackward(
    call: ForwardCall,
    inputs: I,
    resets: Tensor | null,
    record: ForwardRecord,
    summary: SegmentSummary,
    outputGradient: Tensor,
  ): BackwardSummary;
  /** What of the backward pass does not need the adjoint of the outgoing state; `summarized` where that went before. */
  prepareBackward(
    call: ForwardCall,
    inputs: I,
    resets: Tensor | null,
    record: ForwardRecord,
    outputGradient: Tensor,
    summarized?: BackwardSummary | null,
  ): Kept;
  /** All gradients, given the adjoint of the outgoing state (null: zero); that of the incoming one if `wantIncoming`. */
  finishBackward(
    call: ForwardCall,
    inputs: I,
    resets: Tensor | null,
    record: ForwardRecord,
    prepared: Kept,
    outputGradient: Tensor,
    outgoingAdjoint: Tensor | null,
    wantIncoming: boolean,
  ): RecurrenceGradients<I>;

  /**
   * The definition, token by token in f64 on the host; shares no code with the functions above, which tests hold
   * against it. Gives the output [B, T, …] and the last state [B, H, R, N]; `h0` null: zero.
   */
  reference(
    inputs: { readonly [K in keyof I]: HostTensor | null },
    resets: Int32Array | null,
    h0: Float64Array | null,
  ): { readonly output: Float64Array; readonly finalState: Float64Array };
}
