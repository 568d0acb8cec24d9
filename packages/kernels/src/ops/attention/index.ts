import { defineOp, type ForwardCall, forwardCall, type OpInputs } from '../../autograd/define-op.js';
import { expectShape, type Tensor } from '../../tensor.js';
import type { AttentionArguments } from './native.js';
import './native.js';

export interface AttentionInputs extends OpInputs {
  /** [B, T, H, K] */
  readonly q: Tensor;
  /** [B, S, G, K]; H is a multiple of G, and head h reads key head ⌊h / (H / G)⌋. */
  readonly k: Tensor;
  /** [B, S, G, V] */
  readonly v: Tensor;
  /** [B, T, G, K] and [B, T, G, V]: a further key of each query's own; null: none. */
  readonly kSelf: Tensor | null;
  readonly vSelf: Tensor | null;
}

export interface AttentionOptions {
  /** Default 1/√K. */
  readonly scale?: number;
  /** Query t is token `keyOffset + t` of those that the keys stand for. Default 0. */
  readonly keyOffset?: number;
  /** i32 [B, T]: tokens of the query's document before it. Null: all tokens are one document. */
  readonly positions?: Tensor | null;
  /** i32 [B, T]: tokens of its document after the query's that it sees too. Null: none, which is causal attention. */
  readonly after?: Tensor | null;
  /** At most this many keys are seen, the query's own included; as many of those after it. Default: all. */
  readonly window?: number;
  /**
   * Key j is not token j but the end of a chunk of this many tokens, as `chunkEnds` lays them out, and seen from later
   * chunks of its document only.
   */
  readonly chunk?: number;
}

type Attributes = Required<AttentionOptions>;

/**
 * Exact softmax attention, blockwise (FlashAttention-2, arXiv 2307.08691): memory grows with T, not T·S. Output
 * [B, T, H, V]. A query sees the tokens of its document up to its own, and those `after` it. What it does not see is not read into its
 * result, whatever it holds.
 */
export function attention(inputs: AttentionInputs, options: AttentionOptions = {}): Tensor {
  return attentionOp(inputs, attributesOf(inputs, options));
}

/** Attention over the keys so far. */
export interface AttentionResult {
  /** [B, T, H, V] */
  readonly o: Tensor;
  /** [B, T, H]: log of the sum of exponentials, f32 beside bf16; -Infinity where no key was in sight. */
  readonly lse: Tensor;
}

/**
 * Attention whose keys come in blocks, outside of autograd: over the first of them, or (`result`) over one more, in the
 * same softmax as the keys before; `result` changes in place. Any order of blocks gives the same up to rounding. Keys of
 * the queries' own go with the first block.
 */
export function attendBlock(
  inputs: AttentionInputs,
  options: AttentionOptions,
  result: AttentionResult | null,
): AttentionResult {
  return forwardPass(forwardCall(inputs.q.device), inputs, attributesOf(inputs, options), result);
}

/** Shaped as the inputs. */
export interface AttentionGradients {
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
  readonly kSelf: Tensor | null;
  readonly vSelf: Tensor | null;
}

/**
 * What one block of keys says of the gradients, added to them: `result` is the one over all blocks, dO [B, T, H, V] its
 * gradient.
 */
export function attendBlockBackward(
  inputs: AttentionInputs,
  options: AttentionOptions,
  result: AttentionResult,
  dO: Tensor,
  gradients: AttentionGradients,
): void {
  const call = forwardCall(inputs.q.device);
  backwardPass(call, inputs, attributesOf(inputs, options), result, dO, gradients, true);
}

const attentionOp = defineOp<AttentionInputs, Attributes>({
  name: 'attention',
  forward(call, inputs, attributes) {
    const { o, lse } = forwardPass(call, inputs, attributes, null);
    const { positions, after } = attributes;
    return { output: o, save: { ...inputs, o, lse, positions, after } };
  },
  backward(call, saved, dO, attributes) {
    const inputs = saved as unknown as AttentionInputs;
    const { q, k, v, kSelf, vSelf } = inputs;
    const like = (tensor: Tensor) => call.empty(tensor.shape, tensor.dtype);
    const gradients = {
      q: like(q),
      k: like(k),
      v: like(v),
      kSelf: kSelf && like(kSelf),
      vSelf: vSelf && like(vSelf),
    };
    const result = { o: saved.o!, lse: saved.lse! };
    backwardPass(call, inputs, attributes, result, dO, gradients, false);
    return gradients;
  },
});

function attributesOf({ q }: AttentionInputs, options: AttentionOptions): Attributes {
  const { scale = q.dim(-1) ** -0.5, keyOffset = 0, window = 0, chunk = 0 } = options;
  const { positions = null, after = null } = options;
  return { scale, keyOffset, positions, after, window, chunk };
}

function forwardPass(
  call: ForwardCall,
  inputs: AttentionInputs,
  attributes: Attributes,
  before: AttentionResult | null,
): AttentionResult {
  const { q, v } = inputs;
  checkShapes(inputs, attributes);
  const result = before ?? {
    o: call.empty([...q.shape.slice(0, 3), v.dim(-1)], q.dtype),
    lse: call.empty(q.shape.slice(0, 3), q.dtype === 'bf16' ? 'f32' : q.dtype),
  };
  const { o, lse } = result;
  call.native.attentionForward(...leading(call.stream, inputs, attributes), before !== null, o.id, lse.id);
  call.device.flops += 2 * countPairs(inputs, attributes) * (q.dim(-1) + v.dim(-1));
  return result;
}

function backwardPass(
  call: ForwardCall,
  inputs: AttentionInputs,
  attributes: Attributes,
  { o, lse }: AttentionResult,
  dO: Tensor,
  { q, k, v, kSelf, vSelf }: AttentionGradients,
  accumulate: boolean,
): void {
  call.native.attentionBackward(
    ...leading(call.stream, inputs, attributes),
    accumulate,
    ...([o.id, lse.id, dO.id, q.id, k.id, v.id, kSelf?.id ?? null, vSelf?.id ?? null] as const),
  );
  call.device.flops += 2 * countPairs(inputs, attributes) * (3 * q.dim(-1) + 2 * v.dim(-1));
}

function leading(
  stream: number,
  { q, k, v, kSelf, vSelf }: AttentionInputs,
  attributes: Attributes,
): AttentionArguments {
  const { scale, keyOffset, window, chunk, positions, after } = attributes;
  const options = [scale, keyOffset, window, chunk, positions?.id ?? null, after?.id ?? null] as const;
  return [stream, ...options, q.id, k.id, v.id, kSelf?.id ?? null, vSelf?.id ?? null];
}

function checkShapes({ q, k, v, kSelf, vSelf }: AttentionInputs, { positions, after }: Attributes): void {
  expectShape('attention', 'q', q, [-1, -1, -1, -1]);
  const [B, T, , K] = q.shape as [number, number, number, number];
  expectShape('attention', 'k', k, [B, -1, -1, K]);
  const [, S, G] = k.shape as [number, number, number];
  expectShape('attention', 'v', v, [B, S, G, -1]);
  if (kSelf !== null) expectShape('attention', 'kSelf', kSelf, [B, T, G, K]);
  if (vSelf !== null) expectShape('attention', 'vSelf', vSelf, [B, T, G, v.dim(-1)]);
  if (positions !== null) expectShape('attention', 'positions', positions, [B, T]);
  if (after !== null) expectShape('attention', 'after', after, [B, T]);
}

/** Pairs of a query and a key if all tokens are one document: what documents save is not known on the host. */
function countPairs({ q, k, kSelf }: AttentionInputs, attributes: Attributes): number {
  const { keyOffset, window, chunk, after } = attributes;
  const [B, T, H] = q.shape as [number, number, number];
  const S = k.dim(1);
  const own = kSelf === null ? 0 : T;
  /** Keys before the tokens [from, from + T), their own included. */
  const upTo = (from: number) => sumCapped(from + T, S) - sumCapped(from, S);
  if (chunk > 0) {
    // Each of `chunk` queries in a row sees the ends of the chunks before its own.
    const upToChunk = (tokens: number) => chunk * sumCapped(tokens / chunk - 1, S);
    return B * H * (upToChunk(keyOffset + T) - upToChunk(keyOffset) + own);
  }
  const later = after === null ? 0 : laterPairs(T, S - keyOffset - T, window > 0 ? window - 1 : S);
  return B * H * (upTo(keyOffset) - (window > 0 ? upTo(keyOffset - window) : 0) + later + own);
}

/** Keys after each of T tokens, up to `cap`, where `rest` more tokens follow all of them. */
function laterPairs(T: number, rest: number, cap: number): number {
  return sumCapped(rest + T - 1, cap) - sumCapped(rest - 1, cap);
}

/** Σ min(x, cap) for x from 1 to n. */
function sumCapped(n: number, cap: number): number {
  const below = Math.max(0, Math.min(n, cap));
  return (below * (below + 1)) / 2 + cap * Math.max(0, n - cap);
}

export interface ChunkGrid {
  readonly chunk: number;
  /** Index of token 0 in the sequence: slot s of the result is that of tokens [s, s + 1) · chunk, counted from its chunk. */
  readonly tokenOffset: number;
  /** i32 [B, T], within the document; null: the index in the sequence. */
  readonly positions: Tensor | null;
}

/**
 * Rows of x [B, T, …] at the last token of each chunk of their document, one slot for every chunk of the sequence that
 * the tokens touch: [B, slots, …], zeros in a slot without one. Documents have chunks of their own, so an end may lie
 * anywhere in its slot; two are never in one.
 */
export function chunkEnds(x: Tensor, grid: ChunkGrid): Tensor {
  return chunkEndsOp({ x }, grid);
}

const chunkEndsOp = defineOp<{ x: Tensor }, ChunkGrid>({
  name: 'chunk-ends',
  forward(call, { x }, { chunk, tokenOffset, positions }) {
    const [B, T, ...row] = x.shape as [number, number, ...number[]];
    if (positions !== null) expectShape('chunk-ends', 'positions', positions, [B, T]);
    const slots = Math.floor((tokenOffset + T - 1) / chunk) - Math.floor(tokenOffset / chunk) + 1;
    const output = call.empty([B, slots, ...row], x.dtype);
    call.native.chunkEnds(call.stream, chunk, tokenOffset, false, positions?.id ?? null, x.id, output.id);
    // Only for its shape.
    return { output, save: { x, positions } };
  },
  backward(call, { x, positions }, dEnds, { chunk, tokenOffset }) {
    const dx = call.empty(x!.shape, x!.dtype);
    call.native.chunkEnds(call.stream, chunk, tokenOffset, true, positions?.id ?? null, dx.id, dEnds.id);
    return { x: dx };
  },
});
