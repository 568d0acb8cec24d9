import type { KeptOnGpu } from '../../recurrence-parts.js';
import type { Tensor } from '../../tensor.js';
import { bytesOfParts } from '../../workspace-parts.js';
import type { DecayKind, GatedLinearInputs } from './inputs.js';

// What kernels for GPUs keep from the forward to the backward pass, in bytes, as they tell a GPU. A test there compares.

/** Tokens of a chunk. */
const C = 64;
/** `wantedMultiprocessors` of cuda/segments.h. */
const multiprocessors = 132;
/** `fewestChunks` and `mostContracted` of chunkwise/plan.h, `mostRetraced` of retrace/retrace.h. */
const [fewestChunks, mostContracted, mostRetraced] = [4, 256, 128];

interface Kind {
  readonly decay: DecayKind;
  readonly decayOn: 'key' | 'value';
}

export function keptOnGpu(kind: Kind): KeptOnGpu<GatedLinearInputs> {
  return (call, inputs, resets) => {
    const kept: Record<string, number> = { states: statesBytes(kind, inputs, resets) };
    const isDecayed = kind.decay === 'diagonal' && kind.decayOn === 'key' && isChunkwise(kind, inputs);
    if (isDecayed && call.keepsCheap) kept.decayed = decayedBytes(inputs);
    return kept;
  };
}

/**
 * Of a diagonal decay of keys, in bf16: `longscanGatedLinearDecayedBytes`. Queries and keys as decayed, each
 * chunk's decay, scores in two terms, the state before each chunk.
 */
function decayedBytes({ q, v }: GatedLinearInputs): number {
  const [B, T, H, V] = v.shape as [number, number, number, number];
  const K = q.dim(3);
  const chunks = B * H * Math.ceil(T / C);
  const stateSize = (K <= 64 ? 64 : K <= 128 ? 128 : 256) * (V <= 64 ? 64 : 128 * Math.ceil(V / 128));
  const rows = 2 * B * T * H * K;
  return bytesOfParts([rows, rows, 4 * chunks * K, 2 * 2 * chunks * C * C, 2 * chunks * stateSize]);
}

/** The states that enter the segments of a slice: `longscanGatedLinearStatesBytes` on Hopper. */
function statesBytes(kind: Kind, inputs: GatedLinearInputs, resets: Tensor | null): number {
  const { q, v } = inputs;
  const [B, T, H, V] = v.shape as [number, number, number, number];
  const K = q.dim(3);
  const [heads, chunks] = [B * H, Math.ceil(T / C)];
  const count = isChunkwise(kind, inputs)
    ? segmentsByChunks(kind, heads, chunks, kind.decayOn === 'key' ? [K, V] : [V, K], resets !== null)
    : segmentsByTokens(heads, chunks, kind.decayOn === 'key' ? V : K);
  return 4 * heads * count * K * V;
}

/** Whether the chunkwise kernels know the call. */
function isChunkwise({ decay, decayOn }: Kind, { q, v, u = null }: GatedLinearInputs): boolean {
  if (q.dtype !== 'bf16') return false;
  return decay === 'diagonal' || (u === null && decayOn === 'key' && v.dim(3) <= mostContracted);
}

/** `Plan` of chunkwise/plan.h: segments, and the state after the last one where a backward pass begins with that. */
function segmentsByChunks(
  { decay }: Kind,
  heads: number,
  chunks: number,
  [K, V]: [K: number, V: number],
  hasDocuments: boolean,
): number {
  const isDiagonal = decay === 'diagonal';
  const tile = (K > 128 && !isDiagonal) || V <= 64 ? 64 : 128;
  const room = multiprocessors * (K <= 64 && V <= 64 ? 2 : 1);
  const segments = Math.floor(room / (heads * Math.ceil(V / tile)));
  const each = Math.max(fewestChunks, segments > 1 ? Math.ceil(chunks / segments) : chunks);
  const isRetraced = decay === 'identity' && !hasDocuments && K <= 128 && V <= 128 && (K > 64 || V <= 64);
  if (!isRetraced) return Math.ceil(chunks / each);
  const eachRetraced = each > mostRetraced ? Math.ceil(chunks / Math.ceil(chunks / mostRetraced)) : each;
  return Math.ceil(chunks / eachRetraced) + 1;
}

/** `TokenPlan` of general/general.cu. */
function segmentsByTokens(heads: number, chunks: number, V: number): number {
  const segments = Math.floor((4 * multiprocessors) / (heads * Math.ceil(V / 64)));
  return segments > 1 ? Math.ceil(chunks / Math.ceil(chunks / segments)) : 1;
}
