import { empty, type Tensor } from '@longscan/kernels';
import { arriving, startExchange } from './exchange.js';
import { live, type Received } from './received.js';
import type { SliceGroup, SliceRange } from './slice-group.js';
import { addTokens, copyTokens, cutTokens, joinTokens, overlap, shapeWith } from './token-ranges.js';

export interface GatherOptions {
  readonly group: SliceGroup;
  /** Rows of each rank, in rank order: its tokens, or its chunks. */
  readonly slices: readonly SliceRange[];
  /** Rows that each rank wants, its own among them. */
  readonly wanted: readonly SliceRange[];
  readonly received?: Received;
}

/** A gather under way. */
export interface PendingGather {
  /** Orders the compute stream (not the host) after it and gives the rows wanted, in order. */
  wait(): Tensor;
}

/** Rows of a sequence, and the rank that has them or wants them. */
interface Shared {
  readonly peer: number;
  readonly rows: SliceRange;
}

/**
 * Starts to fetch the rows of x [B, n, …] that this rank wants from those who have them (LASP-2H,
 * https://arxiv.org/abs/2502.07563, section 3.4, where every rank fetches all). In the backward pass gradients take the way
 * back and are added in rank order. Only enqueues.
 */
export function gatherRows(x: Tensor, options: GatherOptions): PendingGather {
  const { received = live } = options;
  const { sources, readers } = traffic(options);
  const fetched = received.isReplay ? null : fetchRows(x, options);
  return {
    wait() {
      if (sources.length + readers.length === 0) return x;
      const arrived = fetched?.() ?? [];
      const parts = sources.map((_, i) => received.next(() => arrived[i]!)!);
      const { rank } = options.group.communicator;
      const numEarlier = sources.filter(({ peer }) => peer < rank).length;
      const all = joinTokens([...parts.slice(0, numEarlier), x, ...parts.slice(numEarlier)]);
      recordReturn(x, all, options);
      return all;
    },
  };
}

/** What this rank fetches from each other one, and what each other one fetches from it. */
function traffic({ group, slices, wanted }: GatherOptions): { sources: Shared[]; readers: Shared[] } {
  const { rank } = group.communicator;
  const withPeers = (rowsOf: (peer: number) => SliceRange): Shared[] =>
    slices
      .map((_, peer) => ({ peer, rows: rowsOf(peer) }))
      .filter(({ peer, rows }) => peer !== rank && rows.length > 0);
  return {
    sources: withPeers((peer) => overlap(slices[peer]!, wanted[rank]!)),
    readers: withPeers((peer) => overlap(slices[rank]!, wanted[peer]!)),
  };
}

/** Enqueues the exchange; the function returned orders the compute stream after it. */
function fetchRows(x: Tensor, options: GatherOptions): () => Tensor[] {
  const { group, slices } = options;
  const { start } = slices[group.communicator.rank]!;
  const { sources, readers } = traffic(options);
  return exchangeRows(x, start, readers, sources, group);
}

/** Sends rows of x, whose row 0 is row `first` of the sequence, and receives some like them. */
function exchangeRows(
  x: Tensor,
  first: number,
  outgoing: readonly Shared[],
  incoming: readonly Shared[],
  group: SliceGroup,
): () => Tensor[] {
  return startExchange(
    group,
    outgoing.map(({ peer, rows }) => ({ tensor: cutTokens(x, rows.start - first, rows.length), peer })),
    incoming.map(({ peer, rows }) => arriving(x, shapeWith(x, rows.length), peer, group)),
  );
}

/** In the backward pass gradients of rows go to those who have them. */
function recordReturn(x: Tensor, all: Tensor, options: GatherOptions): void {
  const { group, slices, wanted } = options;
  const { tape } = x.device;
  if (tape === null || !x.requiresGrad) return;
  const { rank } = group.communicator;
  const { start, length } = slices[rank]!;
  const first = wanted[rank]!.start;
  const { sources, readers } = traffic(options);
  tape.record({
    name: 'gather-rows',
    flushes: true,
    inputs: [x],
    outputs: [all],
    saved: [],
    backward: ([gradient]) => {
      const returned = exchangeRows(gradient!, first, sources, readers, group);
      tape.flushDeferred();
      const dx = empty(gradient!.device, shapeWith(gradient!, length), gradient!.dtype);
      copyTokens(gradient!, start - first, dx, 0, length);
      for (const [i, tensor] of returned().entries()) addTokens(tensor, dx, readers[i]!.rows.start - start);
      return [dx];
    },
  });
}
