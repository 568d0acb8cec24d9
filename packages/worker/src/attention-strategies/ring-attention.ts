import { chunkEnds } from '@longscan/kernels';
import {
  type AttentionCall,
  type AttentionCost,
  type AttentionLayout,
  defineAttentionStrategy,
  tokenBytes,
} from '../attention-strategy.js';
import { AttentionTraffic, type Send } from '../attention-traffic.js';
import { chunkSlots } from '../sequence/chunk-slots.js';
import { KeyRing } from '../sequence/key-ring.js';
import { returnHalves, sendHalves, tradeHalves } from '../sequence/mirror.js';
import { sliceStart } from '../sequence/positions.js';
import { live } from '../sequence/received.js';
import { attendRing } from '../sequence/ring-pieces.js';
import type { LinkCost } from '../strategy.js';

/**
 * Ring attention: keys and values go from rank to rank, and what each rank makes of a block is merged into one softmax. The
 * blocks that a rank holds at a time do not become more with the ranks. Without a window, tokens change places with the mirror
 * rank first, so that every rank has as much to do with every block (Striped Attention, arXiv 2311.09431, has the same end);
 * with one, a block goes only as far as it can be seen.
 */
export default defineAttentionStrategy({
  name: 'ring-attention',
  paper: 'https://arxiv.org/abs/2310.01889',
  cost,
  attend({ q, k, v }, options, { group, positions, received = live }) {
    const { window = null, chunk = null } = options;
    const ring = new KeyRing(group.slices, { window, chunk });
    const call = { ring, group, options, received };
    if (ring.isEvened) {
      const tensors = positions === null ? [q, k, v] : [q, k, v, positions];
      const [queries, keys, values, at] = tradeHalves(tensors, group, received);
      const pieces = ring.piecesOf(group.communicator.rank).map(({ start }, i) => ({
        ...{ start, q: queries![i]!, k: keys![i]!, v: values![i]! },
        ...{ positions: at?.[i] ?? null, kSelf: null, vSelf: null },
      }));
      return returnHalves(attendRing(pieces, call), group, received);
    }
    const start = sliceStart(group);
    const slice = { start, q, positions, kSelf: null, vSelf: null };
    if (chunk === null) return attendRing([{ ...slice, k, v }], call)[0]!;
    chunkSlots(group.slices, chunk); // refuses broken chunks
    const grid = { chunk, tokenOffset: start, positions };
    const ends = { k: chunkEnds(k, grid), v: chunkEnds(v, grid) };
    return attendRing([{ ...slice, ...ends, kSelf: k, vSelf: v }], call)[0]!;
  },
});

function cost(call: AttentionCall, layout: AttentionLayout, link: LinkCost): AttentionCost {
  const { slices } = layout;
  const bytes = tokenBytes(call, layout);
  const ring = new KeyRing(slices, call);
  const traffic = new AttentionTraffic(slices.length, link);
  const blockBytes = (owner: number) =>
    ring
      .piecesOf(owner)
      .reduce((sum, { length }) => sum + Math.ceil(length / (call.chunk ?? 1)) * bytes.kv, 0);
  const hop = (number: number, goesHome: boolean) => (send: Send) => {
    for (const [owner] of slices.entries()) {
      const from = ring.holderAt(owner, number);
      const to = ring.holderAt(owner, number + 1) ?? (goesHome ? owner : null);
      if (from !== null && to !== null) send(from, to, blockBytes(owner));
    }
  };
  const halves = (bytesPerToken: number, back: boolean) => (send: Send) => {
    if (ring.isEvened) sendHalves(slices, bytesPerToken, send, back);
  };
  traffic.phase('forward', halves(bytes.q + bytes.kv + bytes.positions, false));
  for (let i = 0; i < ring.numHops; i++) traffic.phase('forward', hop(i, false));
  traffic.phase('forward', halves(bytes.o, true)).phase('backward', halves(bytes.o, false));
  for (let i = 0; i <= ring.numHops; i++) {
    traffic.phase('backward', hop(i, false)).phase('backward', hop(i, true));
  }
  return traffic.phase('backward', halves(bytes.q + bytes.kv, true)).cost;
}
