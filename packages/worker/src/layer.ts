import type { RecurrenceInputs, RecurrenceOp, Tensor, TransitionKind, UnitHeads } from '@longscan/kernels';
import type { SequenceAttentionInputs, SequenceAttentionOptions } from './sequence/attend-alone.js';

/** Options of a layer: what a job may set, with their defaults. */
export type LayerConfig = Readonly<Record<string, number | string | boolean>>;

/**
 * How a parameter starts: a constant, normal with this standard deviation, or element by element (`index` in row-major
 * order; `uniform` draws from [0, 1), by the job's seed and the parameter's name).
 */
export type Init =
  | { readonly constant: number }
  | { readonly normal: number }
  | { readonly each: (index: number, uniform: () => number) => number };

/** Class of a layer in the table of layers: its recurrence's, or `softmax` where it has none. */
export type LayerTransition = TransitionKind | 'softmax';

/** Hands out a layer's tensors. Names are part of the checkpoint format. */
export interface ParameterDeclarer {
  /** Width of the residual stream. */
  readonly dModel: number;
  readonly layer: LayerPlace;
  /**
   * A trained tensor. Matrices of projections are [out, in]. The optimizer's weight decay spares tensors of one dimension
   * and those with `weightDecay: false`: rates, time scales and gains, which mean something else when they shrink.
   */
  tensor(name: string, shape: readonly number[], init: Init, options?: TensorOptions): Tensor;
  /** The weight [out, in] of a projection; default init: normal, standard deviation 1/√in. */
  projection(name: string, out: number, input: number, init?: Init): Tensor;
  /** A tensor that follows from the configuration: neither trained nor saved. */
  constant(name: string, values: readonly number[], shape: readonly number[]): Tensor;
}

export interface TensorOptions {
  /** Default: true for tensors of two or more dimensions. */
  readonly weightDecay?: boolean;
}

export interface LayerPlace {
  /** Counted from the embedding, from 0. */
  readonly index: number;
  /** Layers in the model. */
  readonly count: number;
}

/** What a layer may ask for beside its input: everything that looks beyond its own tokens, and never a rank. */
export interface LayerContext {
  /**
   * Output [B, T, H, V] of a linear recurrence over the whole sequence; under the masked objective (`model.objective`) in
   * both directions, what a token reads of itself counted once. `meanwhile` may enqueue work that does not
   * feed it (an output gate, say): it runs while states travel between devices.
   */
  recurrence<I extends RecurrenceInputs>(op: RecurrenceOp<I>, inputs: I, meanwhile?: () => void): Tensor;
  /**
   * A convolution of each channel over the token and the W - 1 before it in its document: x [B, T, D], weight [D, W] whose
   * last column is the token's own. Returns [B, T, D]. Under the masked objective it is centred: the last ⌊(W - 1) / 2⌋
   * columns are those of the tokens after.
   */
  causalConv1d(x: Tensor, weight: Tensor, options?: ConvolutionOptions): Tensor;
  /**
   * The token before each: x [B, T, D] one token later, zeros at the start of a document. Under the masked objective the
   * second half of the channels gets the token after.
   */
  tokenShift(x: Tensor): Tensor;
  /**
   * Causal softmax attention over the document of each token: output [B, T, H, V]. Under the masked objective over all of the
   * document, `window` tokens on both sides; not with `chunk`.
   */
  attention(inputs: SequenceAttentionInputs, options?: SequenceAttentionOptions): Tensor;
  /** i32 [B, T] for the tokens of x [B, T, …]: how many tokens of its document stand before each. */
  positions(x: Tensor): Tensor;
  /**
   * A value of the same tokens that layers have in common: what `make` gave in the first layer of the model that asked
   * for `name`; only there is it called.
   */
  share(name: string, make: () => Tensor): Tensor;
}

export interface ConvolutionOptions {
  /** [D]; default: none. */
  readonly bias?: Tensor | null;
  /** Fused with the convolution; default: none. */
  readonly activation?: 'silu' | undefined;
  /** Heads of so many channels are then scaled to length one, fused with the convolution on a GPU; default: not. */
  readonly unitHeads?: UnitHeads | undefined;
}

/** x [B, T, D] to [B, T, D]; T: the tokens at hand. */
export type LayerFunction = (x: Tensor, context: LayerContext) => Tensor;

/** A token mixer. One file in `layers/`, or any file named in a job, with this as its default export. */
export interface Layer<C extends LayerConfig = LayerConfig> {
  readonly name: string;
  /** URL of the paper. */
  readonly paper: string;
  /** Class of what a run of tokens does to the state, with the defaults (of its first recurrence, where it has several). */
  readonly transition: LayerTransition;
  /** Slices must be multiples of this many tokens; left out: any length. */
  readonly sliceMultiple?: (config: C) => number;
  /** Defaults; a key `numHeads` takes `model.numHeads` unless the job sets it for the layer. */
  readonly config: C;
  /** Values that a string option may have, and ranges of numbers where zero or less makes no sense are checked in `create`. */
  readonly choices?: { readonly [K in keyof C]?: readonly C[K][] };
  create(config: C, param: ParameterDeclarer): LayerFunction;
}

/** Widens literal types, so that `numHeads: 4` is a number option with default 4. */
type Widened<C extends LayerConfig> = {
  readonly [K in keyof C]: C[K] extends number ? number : C[K] extends boolean ? boolean : string;
};

export function defineLayer<const C extends LayerConfig>(
  layer: Omit<Layer<Widened<C>>, 'config' | 'choices'> & {
    readonly config: C;
    readonly choices?: { readonly [K in keyof C]?: readonly Widened<C>[K][] };
  },
): Layer<Widened<C>> {
  return layer as unknown as Layer<Widened<C>>;
}
