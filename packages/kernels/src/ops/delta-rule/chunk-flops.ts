import type { ForwardCall } from '../../autograd/define-op.js';
import type { DeltaRuleInputs } from './inputs.js';

/** Counts FLOPs of `perToken` products with the K × V state and `intra` products inside a chunk of 64 tokens. */
export function countChunks(
  call: ForwardCall,
  { q, v }: DeltaRuleInputs,
  perToken: number,
  intra: number,
): void {
  const [K, V] = [q.dim(3), v.dim(3)];
  call.device.flops += (v.size / V) * (2 * perToken * K * V + intra * 64 * (K + V));
}
