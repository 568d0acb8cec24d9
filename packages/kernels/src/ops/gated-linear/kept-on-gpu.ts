import type { GatedLinearInputs } from './inputs.js';

/** Tokens of a chunk. */
const C = 64;

/**
 * Bytes that kernels for GPUs keep of a diagonal decay of keys from the forward to the backward pass of a slice alone, in
 * bf16: `longscanGatedLinearDecayedBytes`, which a test on a GPU holds this against. Queries and keys as decayed, each
 * chunk's decay, scores in two terms, the state before each chunk.
 */
export function decayedBytes({ q, v }: GatedLinearInputs): number {
  const [B, T, H, V] = v.shape as [number, number, number, number];
  const K = q.dim(3);
  const chunks = B * H * Math.ceil(T / C);
  const stateSize = (K <= 64 ? 64 : K <= 128 ? 128 : 256) * (V <= 64 ? 64 : 128 * Math.ceil(V / 128));
  const rows = 2 * B * T * H * K;
  const parts = [rows, rows, 4 * chunks * K, 2 * 2 * chunks * C * C, 2 * chunks * stateSize];
  return parts.reduce((sum, bytes) => sum + 256 * Math.ceil(bytes / 256), 0);
}
