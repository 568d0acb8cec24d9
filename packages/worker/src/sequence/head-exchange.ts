import { empty, type Tensor } from '@longscan/kernels';
import { arriving, startExchange } from './exchange.js';
import { live, type Received } from './received.js';
import type { SliceGroup } from './slice-group.js';
import { cutTokens, joinTokens, shapeWith } from './token-ranges.js';

/**
 * All heads of this rank's tokens for some heads of all tokens: each of `xs` [B, T, H, n] becomes [B, ΣT, H/P, n], heads in
 * equal parts in rank order. In the backward pass gradients take the way back.
 */
export function scatterHeads(xs: readonly Tensor[], group: SliceGroup, received: Received = live): Tensor[] {
  return turned('scatter-heads', xs, group, received, startScatter, startGather);
}

/** Its inverse. */
export function gatherHeads(ys: readonly Tensor[], group: SliceGroup, received: Received = live): Tensor[] {
  return turned('gather-heads', ys, group, received, startGather, startScatter);
}

/** x [B, T] of this rank's tokens to [B, ΣT]; not differentiable. */
export function gatherTokens(x: Tensor, group: SliceGroup, received: Received = live): Tensor {
  return received.next(() => {
    const { communicator, slices } = group;
    const { rank } = communicator;
    const peers = otherRanks(group);
    const arrived = startExchange(
      group,
      peers.map((peer) => ({ tensor: x, peer })),
      peers.map((peer) => arriving(x, shapeWith(x, slices[peer]!.length), peer, group)),
    )();
    return joinTokens([...arrived.slice(0, rank), x, ...arrived.slice(rank)]);
  })!;
}

/** Enqueues an exchange; the function returned orders the compute stream after it and gives the results. */
type Start = (xs: readonly Tensor[], group: SliceGroup) => () => Tensor[];

/** `start` and its adjoint as one differentiable function. */
function turned(
  name: string,
  xs: readonly Tensor[],
  group: SliceGroup,
  received: Received,
  start: Start,
  adjoint: Start,
): Tensor[] {
  const found = received.isReplay ? null : start(xs, group)();
  const known = xs.map((_, i) => received.next(() => found![i]!)!);
  const { tape } = xs[0]!.device;
  if (tape === null || !xs.some((x) => x.requiresGrad)) return known;
  const outputs = known.map((tensor) => tensor.view(tensor.shape));
  tape.record({
    name,
    inputs: xs,
    outputs,
    saved: [],
    backward(gradients) {
      const finish = adjoint(
        gradients.map((gradient) => gradient!),
        group,
      );
      tape.flushDeferred();
      return finish();
    },
  });
  return outputs;
}

function startScatter(xs: readonly Tensor[], group: SliceGroup): () => Tensor[] {
  const { communicator, slices } = group;
  const numRanks = slices.length;
  const peers = otherRanks(group);
  const headsOf = (x: Tensor) => x.dim(2) / numRanks;
  const part = (x: Tensor, rank: number) => {
    const [B, T, , n] = x.shape as [number, number, number, number];
    const heads = empty(x.device, [B, T, headsOf(x), n], x.dtype);
    copyHeads(x, rank * headsOf(x), heads, 0, headsOf(x));
    return heads;
  };
  const arrived = startExchange(
    group,
    peers.flatMap((peer) => xs.map((x) => ({ tensor: part(x, peer), peer }))),
    peers.flatMap((peer) =>
      xs.map((x) => {
        const [B, , , n] = x.shape as [number, number, number, number];
        return arriving(x, [B, slices[peer]!.length, headsOf(x), n], peer, group);
      }),
    ),
  );
  return () => {
    const parts = arrived();
    return xs.map((x, i) => {
      const others = peers.map((_, p) => parts[p * xs.length + i]!);
      const { rank } = communicator;
      return joinTokens([...others.slice(0, rank), part(x, rank), ...others.slice(rank)]);
    });
  };
}

function startGather(ys: readonly Tensor[], group: SliceGroup): () => Tensor[] {
  const { communicator, slices } = group;
  const numRanks = slices.length;
  const peers = otherRanks(group);
  const own = slices[communicator.rank]!;
  const arrived = startExchange(
    group,
    peers.flatMap((peer) => {
      const { start, length } = slices[peer]!;
      return ys.map((y) => ({ tensor: cutTokens(y, start, length), peer }));
    }),
    peers.flatMap((peer) => ys.map((y) => arriving(y, shapeWith(y, own.length), peer, group))),
  );
  return () => {
    const parts = arrived();
    return ys.map((y, i) => {
      const [B, , heads, n] = y.shape as [number, number, number, number];
      const x = empty(y.device, [B, own.length, numRanks * heads, n], y.dtype);
      copyHeads(cutTokens(y, own.start, own.length), 0, x, communicator.rank * heads, heads);
      for (const [p, peer] of peers.entries()) {
        copyHeads(parts[p * ys.length + i]!, 0, x, peer * heads, heads);
      }
      return x;
    });
  };
}

/** target[:, :, to + i] = source[:, :, from + i] for i < count. */
function copyHeads(source: Tensor, from: number, target: Tensor, to: number, count: number): void {
  const { native, compute } = target.device;
  const [B, T, , n] = target.shape as [number, number, number, number];
  const rows = (x: Tensor) => x.view([B, T, x.dim(2) * n]).id;
  native.copyColumns(compute.id, rows(source), from * n, rows(target), to * n, count * n);
}

function otherRanks({ communicator, slices }: SliceGroup): number[] {
  return slices.map((_, rank) => rank).filter((rank) => rank !== communicator.rank);
}
