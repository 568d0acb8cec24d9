import { LongscanError } from '@longscan/kernels';
import {
  type AttentionCall,
  type AttentionCost,
  type AttentionLayout,
  defineAttentionStrategy,
  tokenBytes,
} from '../attention-strategy.js';
import { AttentionTraffic, type Send } from '../attention-traffic.js';
import { attendAlone } from '../sequence/attend-alone.js';
import { gatherHeads, gatherTokens, scatterHeads } from '../sequence/head-exchange.js';
import type { LinkCost } from '../strategy.js';

/**
 * DeepSpeed Ulysses (section 3.1): every rank attends with some of the heads over the whole sequence, after one all-to-all
 * and before another. What travels shrinks with the number of ranks, and all have the same to do; but that number must divide
 * the heads of queries and of keys.
 */
export default defineAttentionStrategy({
  name: 'head-all-to-all',
  paper: 'https://arxiv.org/abs/2309.14509',
  refusal,
  cost,
  attend({ q, k, v }, options, { group, positions, received }) {
    const heads = { numHeads: q.dim(2), numKeyHeads: k.dim(2) };
    const refused = refusal(heads, group.slices.length);
    if (refused !== null) throw unevenHeads(refused);
    const [queries, keys, values] = scatterHeads([q, k, v], group, received);
    const at = positions && gatherTokens(positions, group, received);
    const o = attendAlone({ q: queries!, k: keys!, v: values! }, options, at);
    return gatherHeads([o], group, received)[0]!;
  },
});

function refusal(
  { numHeads, numKeyHeads }: Pick<AttentionCall, 'numHeads' | 'numKeyHeads'>,
  numRanks: number,
): string | null {
  if (numHeads % numRanks === 0 && numKeyHeads % numRanks === 0) return null;
  return `${numHeads} query heads and ${numKeyHeads} key heads, not all divisible by ${numRanks} ranks`;
}

function unevenHeads(found: string): LongscanError {
  return new LongscanError({
    code: 'E-STRATEGY',
    where: 'attention under head-all-to-all',
    found,
    expected: 'as many heads on every rank',
    fix: 'parallel.attentionStrategy = "kv-all-gather" or "ring-attention", or another parallel.sp',
    exitCode: 2,
  });
}

function cost(call: AttentionCall, layout: AttentionLayout, link: LinkCost): AttentionCost {
  const { slices } = layout;
  const bytes = tokenBytes(call, layout);
  const numRanks = slices.length;
  /** From each owner of tokens to each owner of heads. */
  const perToken = (amount: number, send: Send) => {
    for (const [owner, { length }] of slices.entries()) {
      for (const [reader] of slices.entries()) send(owner, reader, length * amount);
    }
  };
  const scatter = (amount: number) => (send: Send) => perToken(amount / numRanks, send);
  const gather = (amount: number) => (send: Send) =>
    perToken(amount / numRanks, (owner, reader, sent) => send(reader, owner, sent));
  return new AttentionTraffic(numRanks, link)
    .phase('forward', scatter(bytes.q + bytes.kv))
    .phase('forward', (send) => perToken(bytes.positions, send))
    .phase('forward', gather(bytes.o))
    .phase('backward', scatter(bytes.o))
    .phase('backward', gather(bytes.q + bytes.kv)).cost;
}
