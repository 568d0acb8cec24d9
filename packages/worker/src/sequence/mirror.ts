import { type Tensor, zeros } from '@longscan/kernels';
import type { Send } from '../attention-traffic.js';
import { arriving, startExchange } from './exchange.js';
import { live, type Received } from './received.js';
import type { SliceGroup, SliceRange } from './slice-group.js';
import { cutTokens, joinTokens, shapeWith } from './token-ranges.js';

/**
 * With causal attention over contiguous slices of P ranks the last one has nearly twice the mean to do. So rank r and its
 * mirror P - 1 - r give each other the first halves of their slices for the time of the attention: what both attend then
 * costs the same, whatever r is.
 */
function mirrorOf(rank: number, numRanks: number): number {
  return numRanks - 1 - rank;
}

/** Tokens that a rank gives its mirror: none where that is itself. */
function givenTokens(slices: readonly SliceRange[], rank: number): number {
  return mirrorOf(rank, slices.length) === rank ? 0 : Math.floor(slices[rank]!.length / 2);
}

/** What a rank attends: the rest of its slice, then what its mirror gave it, if that is anything. */
export function evenPieces(slices: readonly SliceRange[], rank: number): SliceRange[] {
  const mirror = mirrorOf(rank, slices.length);
  const given = givenTokens(slices, rank);
  const { start, length } = slices[rank]!;
  const kept = { start: start + given, length: length - given };
  const taken = { start: slices[mirror]!.start, length: givenTokens(slices, mirror) };
  return taken.length > 0 ? [kept, taken] : [kept];
}

/** What a trade sends, `bytes` a token; `back`: what its way back sends. */
export function sendHalves(slices: readonly SliceRange[], bytes: number, send: Send, back = false): void {
  for (const [rank] of slices.entries()) {
    const mirror = mirrorOf(rank, slices.length);
    const amount = bytes * givenTokens(slices, rank);
    if (back) send(mirror, rank, amount);
    else send(rank, mirror, amount);
  }
}

/** A tensor [B, T, …] on a rank's even pieces: one part for each of `evenPieces`. */
export type Pieces = readonly Tensor[];

/** Halves of each of `xs` [B, T, …] change places with those of the mirror rank; in the backward pass gradients go back. */
export function tradeHalves(xs: readonly Tensor[], group: SliceGroup, received: Received = live): Pieces[] {
  const taken = received.isReplay ? null : startTrade(xs, group)();
  const hasTaken = evenPieces(group.slices, group.communicator.rank).length > 1;
  const pieces = xs.map((x, i) => [
    keptHalf(x, group),
    ...(hasTaken ? [received.next(() => taken![i]!)!] : []),
  ]);
  const taped = xs.flatMap((x, i) => (x.requiresGrad ? [{ x, parts: pieces[i]! }] : []));
  const { device } = xs[0]!;
  const { tape } = device;
  if (tape === null || taped.length === 0) return pieces;
  tape.record({
    name: 'trade-halves',
    flushes: true,
    inputs: taped.map(({ x }) => x),
    outputs: taped.flatMap(({ parts }) => parts),
    saved: [],
    backward(gradients) {
      const rest = [...gradients];
      const found = taped.map(({ parts }) =>
        parts.map(({ shape, dtype }) => rest.shift() ?? zeros(device, shape, dtype)),
      );
      const finish = startReturn(found, group);
      tape.flushDeferred();
      return finish();
    },
  });
  return pieces;
}

/** The way back of what was computed from traded halves: [B, T, …] of this rank's own tokens. */
export function returnHalves(pieces: Pieces, group: SliceGroup, received: Received = live): Tensor {
  const own = received.isReplay ? null : startReturn([pieces], group)();
  const whole = received.next(() => own![0]!)!;
  const { tape } = whole.device;
  if (tape === null || !pieces.some((piece) => piece.requiresGrad)) return whole;
  const output = whole.view(whole.shape);
  tape.record({
    name: 'return-halves',
    flushes: true,
    inputs: pieces,
    outputs: [output],
    saved: [],
    backward([gradient]) {
      const finish = startTrade([gradient!], group);
      tape.flushDeferred();
      return [keptHalf(gradient!, group), ...finish()];
    },
  });
  return output;
}

/** The part that is attended by its owner. */
function keptHalf(x: Tensor, { communicator, slices }: SliceGroup): Tensor {
  const given = givenTokens(slices, communicator.rank);
  return cutTokens(x, given, x.dim(1) - given);
}

/** Enqueues the trade; the function returned orders the compute stream after it and gives what was taken of each, if anything. */
function startTrade(xs: readonly Tensor[], group: SliceGroup): () => Tensor[] {
  const { communicator, slices } = group;
  const peer = mirrorOf(communicator.rank, slices.length);
  const given = givenTokens(slices, communicator.rank);
  const taken = givenTokens(slices, peer);
  return startExchange(
    group,
    given === 0 ? [] : xs.map((x) => ({ tensor: cutTokens(x, 0, given), peer })),
    taken === 0 ? [] : xs.map((x) => arriving(x, shapeWith(x, taken), peer, group)),
  );
}

/** Its inverse. */
function startReturn(pieces: readonly Pieces[], group: SliceGroup): () => Tensor[] {
  const { communicator, slices } = group;
  const peer = mirrorOf(communicator.rank, slices.length);
  const given = givenTokens(slices, communicator.rank);
  const kept = pieces.map(([first]) => first!);
  const arrived = startExchange(
    group,
    pieces.flatMap(([, taken]) => (taken ? [{ tensor: taken, peer }] : [])),
    given === 0 ? [] : kept.map((rest) => arriving(rest, shapeWith(rest, given), peer, group)),
  );
  return () => {
    const halves = arrived();
    return kept.map((rest, i) => joinTokens([...halves.slice(i, i + 1), rest]));
  };
}
