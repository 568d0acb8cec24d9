import { copy, empty, type Tensor, type TokenUnits } from '@longscan/kernels';
import type { Received } from './received.js';
import type { SliceGroup, SliceRange } from './slice-group.js';

export interface UnitGatherOptions {
  readonly units: TokenUnits;
  /** Null: this rank holds the whole sequence. */
  readonly group: Pick<SliceGroup, 'communicator'> | null;
  /** Rows of each rank, in rank order: its tokens, or its chunks. */
  readonly slices: readonly SliceRange[];
  /** Rows before its own that a unit wants; Infinity: all. */
  readonly reach: number;
  readonly received: Received;
}

/** Rows [first, end) of the sequence that a unit wants, its own from `start` on. */
interface Reader {
  readonly first: number;
  readonly start: number;
  readonly end: number;
}

/**
 * Deterministic mode: for each unit of x [1, n, …] the rows that it wants before its own, then its own. In the backward
 * pass the gradients of a row are added in the order of the units that read it, one message for each of them.
 */
export function gatherForUnits(x: Tensor, options: UnitGatherOptions): Tensor[] {
  const { units, group, slices, received } = options;
  const rank = group?.communicator.rank ?? 0;
  const mine = readersOf(options, rank);
  const { first } = mine[0]!;
  const { start } = slices[rank]!;
  const earlier = received.next(() => (group === null ? null : fetch(x, { ...options, group }, first)));
  const all = earlier === null ? x : joined(earlier, x);
  const outputs = mine.map((reader) => rowsOf(all, first, reader.first, reader.end));
  const { tape } = x.device;
  if (tape === null || !x.requiresGrad) return outputs;
  tape.record({
    name: 'gather for units',
    inputs: [x],
    outputs,
    saved: [],
    backward: (found) => {
      const gradients = found.map((gradient) => gradient!);
      const dx = empty(x.device, x.shape, x.dtype);
      mine.forEach((owner, u) => {
        copy(
          rowsOf(gradients[u]!, owner.first, owner.start, owner.end),
          rowsOf(dx, start, owner.start, owner.end),
        );
        for (let later = u + 1; later < units.count; later++) {
          const reader = mine[later]!;
          addRows(gradients[later]!, reader.first, dx, start, owner);
        }
      });
      if (group !== null) returnGradients(gradients, dx, { ...options, group });
      return [dx];
    },
  });
  return outputs;
}

type RankOptions = UnitGatherOptions & { readonly group: NonNullable<UnitGatherOptions['group']> };

function readersOf({ units, slices, reach }: UnitGatherOptions, rank: number): Reader[] {
  const { start, length } = slices[rank]!;
  const size = length / units.count;
  return units.map((unit) => {
    const begin = start + unit * size;
    return { first: Math.max(0, begin - reach), start: begin, end: begin + size };
  });
}

/** Rows [begin, end) of the sequence in a tensor whose row 0 is its row `origin`. */
function rowsOf(tensor: Tensor, origin: number, begin: number, end: number): Tensor {
  const [, length, ...row] = tensor.shape as [number, number, ...number[]];
  const view = tensor.view([1, end - begin, ...row], (begin - origin) * (tensor.size / length));
  view.requiresGrad = tensor.requiresGrad;
  return view;
}

function joined(earlier: Tensor, own: Tensor): Tensor {
  const [, length, ...row] = own.shape as [number, number, ...number[]];
  const before = earlier.dim(1);
  const all = empty(own.device, [1, before + length, ...row], own.dtype);
  copy(earlier, rowsOf(all, 0, 0, before));
  copy(own, rowsOf(all, 0, before, before + length));
  return all;
}

/** Adds to the rows of `owner` what a reader whose row 0 is `first` says of them. */
function addRows(
  gradient: Tensor,
  first: number,
  dx: Tensor,
  start: number,
  owner: Pick<Reader, 'start' | 'end'>,
): void {
  const begin = Math.max(first, owner.start);
  if (begin >= owner.end) return;
  const { native, compute } = dx.device;
  const source = rowsOf(gradient, first, begin, owner.end);
  native.axpy(compute.id, 1, source.id, rowsOf(dx, start, begin, owner.end).id);
}

/** The rows from `first` on that earlier ranks have; null: none. */
function fetch(x: Tensor, options: RankOptions, first: number): Tensor | null {
  const { group, slices } = options;
  const { rank, stream } = group.communicator;
  const { device, dtype } = x;
  const own = slices[rank]!;
  const row = x.shape.slice(2);
  const earlier = first === own.start ? null : empty(device, [1, own.start - first, ...row], dtype, stream);
  const recvs = slices.slice(0, rank).flatMap(({ start, length }, peer) => {
    const begin = Math.max(first, start);
    return begin < start + length ? [{ tensor: rowsOf(earlier!, first, begin, start + length), peer }] : [];
  });
  const sends = slices.flatMap((_, peer) => {
    if (peer <= rank) return [];
    const begin = Math.max(readersOf(options, peer)[0]!.first, own.start);
    const end = own.start + own.length;
    return begin < end ? [{ tensor: rowsOf(x, own.start, begin, end), peer }] : [];
  });
  stream.wait(device.compute.record());
  group.communicator.exchange(sends, recvs);
  device.compute.wait(stream.record());
  return earlier;
}

/** Sends to earlier ranks what each unit says of their rows, and adds to this rank's what later ones say. */
function returnGradients(gradients: readonly Tensor[], dx: Tensor, options: RankOptions): void {
  const { group, slices } = options;
  const { rank, stream } = group.communicator;
  const { device, dtype } = dx;
  const own = slices[rank]!;
  const end = own.start + own.length;
  const mine = readersOf(options, rank);
  const sends = slices.slice(0, rank).flatMap(({ start, length }, peer) =>
    mine.flatMap(({ first }, unit) => {
      const begin = Math.max(first, start);
      return begin < start + length
        ? [{ tensor: rowsOf(gradients[unit]!, first, begin, start + length), peer }]
        : [];
    }),
  );
  const returned = slices.flatMap((_, peer) => {
    if (peer <= rank) return [];
    return readersOf(options, peer).flatMap(({ first }) => {
      const begin = Math.max(first, own.start);
      if (begin >= end) return [];
      return [{ begin, peer, tensor: empty(device, [1, end - begin, ...dx.shape.slice(2)], dtype, stream) }];
    });
  });
  stream.wait(device.compute.record());
  group.communicator.exchange(sends, returned);
  device.compute.wait(stream.record());
  for (const { begin, tensor } of returned) addRows(tensor, begin, dx, own.start, { start: begin, end });
}
