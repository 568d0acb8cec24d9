import { defineOp, type OpInputs } from '../../autograd/define-op.js';
import { expectShape, type Tensor } from '../../tensor.js';
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
  /** At most this many keys are seen, the query's own included. Default: all. */
  readonly window?: number;
  /**
   * Key j is not token j but the end of a chunk of this many tokens, as `chunkEnds` lays them out, and seen from later
   * chunks of its document only.
   */
  readonly chunk?: number;
}

type Attributes = Required<Omit<AttentionOptions, 'positions'>> & { readonly positions: Tensor | null };

/**
 * Exact causal softmax attention, blockwise (FlashAttention-2, arXiv 2307.08691): memory grows with T, not T·S. Output
 * [B, T, H, V]. A query sees the tokens of its document up to its own. What it does not see is not read into its
 * result, whatever it holds.
 */
export function attention(inputs: AttentionInputs, options: AttentionOptions = {}): Tensor {
  const {
    scale = inputs.q.dim(-1) ** -0.5,
    keyOffset = 0,
    positions = null,
    window = 0,
    chunk = 0,
  } = options;
  return attentionOp(inputs, { scale, keyOffset, positions, window, chunk });
}

const attentionOp = defineOp<AttentionInputs, Attributes>({
  name: 'attention',
  forward(call, inputs, attributes) {
    const { q, k, v, kSelf, vSelf } = inputs;
    checkShapes(inputs, attributes);
    const output = call.empty([...q.shape.slice(0, 3), v.dim(-1)], q.dtype);
    const lse = call.empty(q.shape.slice(0, 3), q.dtype);
    call.native.attentionForward(...leading(call.stream, inputs, attributes), output.id, lse.id);
    call.device.flops += 2 * countPairs(inputs, attributes) * (q.dim(-1) + v.dim(-1));
    return { output, save: { q, k, v, kSelf, vSelf, output, lse, positions: attributes.positions } };
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
    call.native.attentionBackward(
      ...leading(call.stream, inputs, attributes),
      saved.output!.id,
      saved.lse!.id,
      dO.id,
      gradients.q.id,
      gradients.k.id,
      gradients.v.id,
      gradients.kSelf?.id ?? null,
      gradients.vSelf?.id ?? null,
    );
    call.device.flops += 2 * countPairs(inputs, attributes) * (3 * q.dim(-1) + 2 * v.dim(-1));
    return gradients;
  },
});

/** The arguments that both passes begin with. */
function leading(stream: number, { q, k, v, kSelf, vSelf }: AttentionInputs, attributes: Attributes) {
  const { scale, keyOffset, window, chunk, positions } = attributes;
  const options = [scale, keyOffset, window, chunk, positions?.id ?? null] as const;
  return [stream, ...options, q.id, k.id, v.id, kSelf?.id ?? null, vSelf?.id ?? null] as const;
}

function checkShapes({ q, k, v, kSelf, vSelf }: AttentionInputs, { positions }: Attributes): void {
  expectShape('attention', 'q', q, [-1, -1, -1, -1]);
  const [B, T, , K] = q.shape as [number, number, number, number];
  expectShape('attention', 'k', k, [B, -1, -1, K]);
  const [, S, G] = k.shape as [number, number, number];
  expectShape('attention', 'v', v, [B, S, G, -1]);
  if (kSelf !== null) expectShape('attention', 'kSelf', kSelf, [B, T, G, K]);
  if (vSelf !== null) expectShape('attention', 'vSelf', vSelf, [B, T, G, v.dim(-1)]);
  if (positions !== null) expectShape('attention', 'positions', positions, [B, T]);
}

/** Pairs of a query and a key if all tokens are one document: what documents save is not known on the host. */
function countPairs({ q, kSelf }: AttentionInputs, { keyOffset, window, chunk }: Attributes): number {
  const [B, T, H] = q.shape as [number, number, number];
  const own = kSelf === null ? 0 : T;
  if (chunk > 0)
    return B * H * (sumTo((keyOffset + T) / chunk) * chunk - sumTo(keyOffset / chunk) * chunk + own);
  const limit = window > 0 ? window : keyOffset + T;
  const growing = Math.max(0, Math.min(T, limit - keyOffset));
  return B * H * (sumTo(keyOffset + growing) - sumTo(keyOffset) + growing / 2 + (T - growing) * limit + own);
}

/** ∫ x dx from 0 to n. */
function sumTo(n: number): number {
  return (n * n) / 2;
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
