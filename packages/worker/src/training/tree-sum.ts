import { type Communicator, empty, type Tensor } from '@longscan/kernels';

/** Elements [begin, end) of a flat tensor. */
interface Range {
  readonly begin: number;
  readonly end: number;
}

/**
 * `tensor` = its sum over `ranks` of a group, the same balanced binary tree over them for every element: neighbours first,
 * as deterministic mode adds units. Recursive halving, then doubling: each rank sends 2 (1 - 1/P) times the tensor.
 * `ranks`: a power of two of them, this one included, each calling this with the same tensor size.
 */
export function treeSum(group: Communicator, ranks: readonly number[], tensor: Tensor): void {
  if (ranks.length === 1) return;
  const { device, dtype } = tensor;
  const { stream } = group;
  const me = ranks.indexOf(group.rank);
  const between = (source: Tensor, { begin, end }: Range) => source.view([end - begin], begin);
  const trade = (peer: number, given: Tensor | null, taken: Tensor | null) => {
    stream.wait(device.compute.record());
    group.exchange(
      given === null ? [] : [{ tensor: given, peer }],
      taken === null ? [] : [{ tensor: taken, peer }],
    );
    device.compute.wait(stream.record());
  };

  const halvings: { peer: number; kept: Range; given: Range }[] = [];
  let whole: Range = { begin: 0, end: tensor.size };
  for (let distance = 1; distance < ranks.length; distance *= 2) {
    const middle = Math.ceil((whole.begin + whole.end) / 2);
    const [low, high] = [
      { ...whole, end: middle },
      { ...whole, begin: middle },
    ];
    const [kept, given] = (me & distance) === 0 ? [low, high] : [high, low];
    const peer = ranks[me ^ distance]!;
    device.scope(() => {
      const theirs = isEmpty(kept) ? null : empty(device, [kept.end - kept.begin], dtype, stream);
      trade(peer, isEmpty(given) ? null : between(tensor, given), theirs);
      if (theirs !== null) device.native.axpy(device.compute.id, 1, theirs.id, between(tensor, kept).id);
    });
    halvings.push({ peer, kept, given });
    whole = kept;
  }
  for (const { peer, kept, given } of halvings.reverse()) {
    trade(peer, isEmpty(kept) ? null : between(tensor, kept), isEmpty(given) ? null : between(tensor, given));
  }
}

function isEmpty({ begin, end }: Range): boolean {
  return begin === end;
}
