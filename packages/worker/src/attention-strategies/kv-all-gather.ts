import { attention, chunkEnds, type Tensor } from '@longscan/kernels';
import {
  type AttentionCall,
  type AttentionCost,
  type AttentionLayout,
  defineAttentionStrategy,
  type PlaceOnRanks,
  tokenBytes,
} from '../attention-strategy.js';
import { AttentionTraffic, type Send } from '../attention-traffic.js';
import type { SequenceAttentionInputs, SequenceAttentionOptions } from '../sequence/attend-alone.js';
import { chunkSlots } from '../sequence/chunk-slots.js';
import { gatherRows } from '../sequence/gather-rows.js';
import { evenPieces, returnHalves, sendHalves, tradeHalves } from '../sequence/mirror.js';
import { sliceStart } from '../sequence/positions.js';
import type { SliceRange } from '../sequence/slice-group.js';
import { overlap } from '../sequence/token-ranges.js';
import type { LinkCost } from '../strategy.js';

/**
 * LASP-2H, section 3.4: each rank fetches keys and values and attends alone. Only those that its queries can see travel,
 * so with a window nobody further away is asked; without one, queries change places with the mirror rank first, so that
 * all ranks have as much to do. Keys and values of a whole sequence must fit on a rank.
 */
export default defineAttentionStrategy({
  name: 'kv-all-gather',
  paper: 'https://arxiv.org/abs/2502.07563',
  keepsUnits: true,
  cost,
  attend(inputs, options, place) {
    const { window, chunk } = options;
    if (chunk !== undefined) return attendChunks(inputs, { ...options, chunk }, place);
    return window === undefined
      ? attendEvenly(inputs, options, place)
      : attendWindow(inputs, { ...options, window }, place);
  },
});

function attendEvenly(
  { q, k, v }: SequenceAttentionInputs,
  { scale }: SequenceAttentionOptions,
  { group, positions, received }: PlaceOnRanks,
): Tensor {
  const { slices, communicator } = group;
  const wanted = slices.map((_, rank) => rowsUpTo(evenPieces(slices, rank)));
  const gathers = [k, v].map((x) => gatherRows(x, { group, slices, wanted, received }));
  const [queries, at] = tradeHalves(positions === null ? [q] : [q, positions], group, received);
  const [keys, values] = gathers.map((gather) => gather.wait());
  const outputs = evenPieces(slices, communicator.rank).map(({ start }, i) =>
    attention(
      { q: queries![i]!, k: keys!, v: values!, kSelf: null, vSelf: null },
      { scale, keyOffset: start, positions: at?.[i] ?? null },
    ),
  );
  return returnHalves(outputs, group, received);
}

function attendWindow(
  { q, k, v }: SequenceAttentionInputs,
  { scale, window }: SequenceAttentionOptions & { readonly window: number },
  { group, positions, received }: PlaceOnRanks,
): Tensor {
  const { slices, communicator } = group;
  const wanted = slices.map((slice) => withReach(slice, window - 1));
  const gathers = [k, v].map((x) => gatherRows(x, { group, slices, wanted, received }));
  const [keys, values] = gathers.map((gather) => gather.wait());
  const keyOffset = sliceStart(group) - wanted[communicator.rank]!.start;
  return attention(
    { q, k: keys!, v: values!, kSelf: null, vSelf: null },
    { scale, window, keyOffset, positions },
  );
}

/** Of every chunk one key travels: little work, so queries stay where they are. */
function attendChunks(
  { q, k, v }: SequenceAttentionInputs,
  { scale, chunk }: SequenceAttentionOptions & { readonly chunk: number },
  { group, positions, received }: PlaceOnRanks,
): Tensor {
  const start = sliceStart(group);
  const slices = chunkSlots(group.slices, chunk);
  const wanted = slices.map((slice) => rowsUpTo([slice]));
  const gathers = [k, v].map((x) =>
    gatherRows(chunkEnds(x, { chunk, tokenOffset: start, positions }), { group, slices, wanted, received }),
  );
  const [ends, values] = gathers.map((gather) => gather.wait());
  return attention(
    { q, k: ends!, v: values!, kSelf: k, vSelf: v },
    { scale, chunk, keyOffset: start, positions },
  );
}

/** All rows of the sequence that causal queries of these pieces can see. */
function rowsUpTo(pieces: readonly SliceRange[]): SliceRange {
  return { start: 0, length: Math.max(...pieces.map(({ start, length }) => start + length)) };
}

/** A slice and up to `reach` rows before it. */
function withReach({ start, length }: SliceRange, reach: number): SliceRange {
  const first = Math.max(0, start - reach);
  return { start: first, length: start + length - first };
}

function cost(call: AttentionCall, layout: AttentionLayout, link: LinkCost): AttentionCost {
  const { window, chunk } = call;
  const bytes = tokenBytes(call, layout);
  const slices = chunk === null ? layout.slices : chunkSlots(layout.slices, chunk);
  const ranks = slices.map((_, rank) => rank);
  const isEvened = layout.units === null && window === null && chunk === null;
  const traffic = new AttentionTraffic(slices.length, link);
  /** Rows that each rank wants: of each of its units, where these are read one by one. */
  const wantedBy = (rank: number, units: number): SliceRange[] => {
    if (isEvened) return [rowsUpTo(evenPieces(slices, rank))];
    const { start, length } = slices[rank]!;
    const size = length / units;
    return Array.from({ length: units }, (_, unit) =>
      withReach({ start: start + unit * size, length: size }, window === null ? Infinity : window - 1),
    );
  };
  const gather = (units: number, send: Send) => {
    for (const reader of ranks) {
      const wanted = wantedBy(reader, units);
      for (const owner of ranks) {
        for (const rows of wanted) send(owner, reader, bytes.kv * overlap(slices[owner]!, rows).length);
      }
    }
  };
  const halves = (bytesPerToken: number, send: Send, back = false) => {
    if (isEvened) sendHalves(slices, bytesPerToken, send, back);
  };
  return traffic
    .phase('forward', (send) => gather(1, send))
    .phase('forward', (send) => halves(bytes.q + bytes.positions, send))
    .phase('forward', (send) => halves(bytes.o, send, true))
    .phase('backward', (send) => halves(bytes.o, send))
    .phase('backward', (send) =>
      gather(layout.units ?? 1, (owner, reader, amount) => send(reader, owner, amount)),
    )
    .phase('backward', (send) => halves(bytes.q, send, true)).cost;
}
