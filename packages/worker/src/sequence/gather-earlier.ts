import { type Communicator, copy, empty, swapAxes, type Tensor } from '@longscan/kernels';
import { live, type Received } from './received.js';
import { joinRows, rowsBetween } from './rows.js';
import type { SliceRange } from './sequence-group.js';

/** What a gather needs of the ranks that hold a sequence. */
export interface GatherGroup {
  readonly communicator: Pick<Communicator, 'rank' | 'stream' | 'exchange'>;
  readonly slices: readonly SliceRange[];
}

export interface GatherOptions {
  readonly group: GatherGroup;
  /** Rows of each rank, in rank order: its tokens, or its chunks. */
  readonly slices: readonly SliceRange[];
  /** Rows before its own that a rank wants; Infinity: all. */
  readonly reach: number;
  readonly received?: Received;
}

/** A gather under way. */
export interface PendingGather {
  /** Orders the compute stream (not the host) after it and gives the rows wanted, then this rank's own. */
  wait(): Tensor;
}

/** Rows [begin, end) of a sequence, and the rank that has them or wants them. */
interface Shared {
  readonly peer: number;
  readonly begin: number;
  readonly end: number;
}

/**
 * Starts to fetch rows of earlier ranks to stand before this rank's x [B, n, …]: what causal attention needs of keys and
 * values (LASP-2H, https://arxiv.org/abs/2502.07563, section 3.4, where every rank fetches all). Nothing goes to
 * earlier ranks, and nothing further than `reach`. In the backward pass gradients take the way back and are added in
 * rank order. Only enqueues.
 */
export function gatherEarlier(x: Tensor, options: GatherOptions): PendingGather {
  const { received = live } = options;
  // Rows first, so that those of a rank are one piece for all sequences.
  const own = swapAxes(x);
  const fetched = received.isReplay ? null : fetchRows(own, options);
  return {
    wait: () =>
      swapAxes(
        withEarlier(
          received.next(() => fetched?.() ?? null),
          own,
          options,
        ),
      ),
  };
}

/** The first row that a rank wants. */
function firstRow({ slices, reach }: GatherOptions, rank: number): number {
  return Math.max(0, slices[rank]!.start - reach);
}

/** What this rank fetches from each earlier one, and what each later one fetches from it. */
function traffic(options: GatherOptions): { fromEarlier: Shared[]; toLater: Shared[] } {
  const { group, slices } = options;
  const { rank } = group.communicator;
  const between = (owner: number, reader: number, peer: number): Shared => ({
    peer,
    begin: Math.max(firstRow(options, reader), slices[owner]!.start),
    end: slices[owner]!.start + slices[owner]!.length,
  });
  const shared = slices.map((_, peer) =>
    peer < rank ? between(peer, rank, peer) : between(rank, peer, peer),
  );
  const some = shared.filter(({ peer, begin, end }) => peer !== rank && begin < end);
  return {
    fromEarlier: some.filter(({ peer }) => peer < rank),
    toLater: some.filter(({ peer }) => peer > rank),
  };
}

/** Rows of a tensor whose first row is row `first` of the sequence. */
function viewRows(tensor: Tensor, first: number, { begin, end }: Shared): Tensor {
  return rowsBetween(tensor, begin - first, end - first);
}

/** Enqueues the exchange; the function returned orders the compute stream after it. */
function fetchRows(own: Tensor, options: GatherOptions): () => Tensor | null {
  const { group, slices } = options;
  const { rank, stream } = group.communicator;
  const { device, dtype } = own;
  const { start } = slices[rank]!;
  const first = firstRow(options, rank);
  const earlier =
    first === start ? null : empty(device, [start - first, ...own.shape.slice(1)], dtype, stream);
  const { fromEarlier, toLater } = traffic(options);
  stream.wait(device.compute.record());
  group.communicator.exchange(
    toLater.map((rows) => ({ tensor: viewRows(own, start, rows), peer: rows.peer })),
    fromEarlier.map((rows) => ({ tensor: viewRows(earlier!, first, rows), peer: rows.peer })),
  );
  const done = stream.record();
  return () => {
    device.compute.wait(done);
    return earlier;
  };
}

/** `own` after `earlier`; in the backward pass the gradients of the rows before go to those who have them. */
function withEarlier(earlier: Tensor | null, own: Tensor, options: GatherOptions): Tensor {
  const all = joinRows(earlier, own);
  const [before, end] = [earlier?.dim(0) ?? 0, all.dim(0)];
  const { tape } = own.device;
  if (tape === null || !own.requiresGrad) return all;
  tape.record({
    name: 'gather-earlier',
    inputs: [own],
    outputs: [all],
    saved: [],
    backward: ([gradient]) => {
      const addReturned = returnGradients(gradient!, options);
      tape.flushDeferred();
      const dOwn = empty(own.device, own.shape, own.dtype);
      copy(rowsBetween(gradient!, before, end), dOwn);
      addReturned(dOwn);
      return [dOwn];
    },
  });
  return all;
}

/** Enqueues the way back; the function returned adds what came to the gradient of this rank's own rows. */
function returnGradients(gradient: Tensor, options: GatherOptions): (dOwn: Tensor) => void {
  const { group, slices } = options;
  const { rank, stream } = group.communicator;
  const { device, dtype, shape } = gradient;
  const { fromEarlier, toLater } = traffic(options);
  const returned = toLater.map((rows) => ({
    rows,
    tensor: empty(device, [rows.end - rows.begin, ...shape.slice(1)], dtype, stream),
  }));
  stream.wait(device.compute.record());
  group.communicator.exchange(
    fromEarlier.map((rows) => ({
      tensor: viewRows(gradient, firstRow(options, rank), rows),
      peer: rows.peer,
    })),
    returned.map(({ rows, tensor }) => ({ tensor, peer: rows.peer })),
  );
  const done = stream.record();
  return (dOwn) => {
    device.compute.wait(done);
    for (const { rows, tensor } of returned) {
      const target = viewRows(dOwn, slices[rank]!.start, rows);
      device.native.axpy(device.compute.id, 1, tensor.id, target.id);
    }
  };
}
