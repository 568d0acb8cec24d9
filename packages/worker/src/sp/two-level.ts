import {
  applyTransition,
  type Communicator,
  composeTransitions,
  empty,
  type Tensor,
} from '@longscan/kernels';
import { chainLinks, slowestLink, toAllSeconds } from '../fabric.js';
import { type NodePlace, nodePlace } from '../node-place.js';
import { cutRows, numRows, rowsOf, type Segment, stateAfter } from '../state/segment.js';
import { emptyMessage, packSegment, unpackSegment } from '../state/segment-buffer.js';
import {
  type Direction,
  defineStrategy,
  type FabricCost,
  type PendingState,
  type ScanCost,
  type SegmentBytes,
  type StrategyOptions,
} from '../strategy.js';

/**
 * A scan over nodes of ranks, so that slow links between nodes carry each state once and in parallel: ranks of a node
 * exchange (M, E), and each composes what comes before it in the node and what the whole node does; the state goes from
 * node to node in as many shares of its rows as a node has ranks, share l from rank l to rank l; the shares that enter a
 * node are gathered there, and every rank applies what comes before it. The first node gets no state, so composes no M.
 */
export default defineStrategy({
  name: 'two-level',
  paper: 'https://doi.org/10.1007/11846802_15',
  cost: twoLevelCost,
  needsWholeNodes: true,
  takes: 'ranksPerNode',
  start: startTwoLevel,
});

function startTwoLevel(
  local: Segment,
  group: Communicator,
  direction: Direction,
  { ranksPerNode }: StrategyOptions,
): PendingState {
  const place = nodePlace(group, direction, ranksPerNode);
  const { device } = local.state;
  const { stream } = group;
  stream.wait(device.compute.record());
  const { before, total } = composeNode(exchangeSegments(local, group, place), place, group);
  const entering = passNodes(local, total, group, place);
  let incoming = entering ?? before?.state ?? null;
  if (entering !== null && before !== null) incoming = stateAfter(before, entering, stream);
  const done = stream.record();
  return {
    wait() {
      device.compute.wait(done);
      return incoming;
    },
  };
}

/** Whether rank `to` of the node needs the segment of rank `from`: the last node's total is of no use to anybody. */
function needs({ isLastNode }: NodePlace, to: number, from: number): boolean {
  return to !== from && (!isLastNode || to > from);
}

/** The segments of the node's ranks that this one needs, its own included, in the order of the scan. */
function exchangeSegments(local: Segment, group: Communicator, place: NodePlace): Segment[] {
  const { stream } = group;
  const peers = Array.from({ length: place.ranksPerNode }, (_, i) => i);
  const takers = peers.filter((peer) => needs(place, peer, place.index));
  const givers = peers.filter((peer) => needs(place, place.index, peer));
  const own = takers.length === 0 ? null : emptyMessage(local, stream);
  if (own !== null) packSegment(local, own, stream);
  const messages = givers.map((peer) => ({
    tensor: emptyMessage(local, stream),
    peer: place.rankAt(peer),
  }));
  if (takers.length + givers.length > 0) {
    group.exchange(
      takers.map((peer) => ({ tensor: own!, peer: place.rankAt(peer) })),
      messages,
    );
  }
  const segments = messages.map(({ tensor }) => unpackSegment(tensor, local));
  segments.splice(place.index, 0, local);
  return segments;
}

/** What comes before this rank in its node (null: nothing), and what the whole node does (null: nobody asks). */
function composeNode(
  segments: readonly Segment[],
  { node, isLastNode, index }: NodePlace,
  { stream }: Communicator,
): { before: Segment | null; total: Segment | null } {
  let before: Segment | null = null;
  let run: Segment | null = null;
  for (const [i, segment] of segments.entries()) {
    if (i === index) {
      before = run;
      if (isLastNode) break;
    }
    if (run !== null) run = composeTransitions(run, segment, stream);
    // Nothing enters the first node: a run that begins there needs neither M nor resets.
    else run = node === 0 ? { ...segment, factor: null, reset: null } : segment;
  }
  return { before, total: isLastNode ? null : run };
}

/** Takes this rank's share of the state from node to node; returns the whole state that enters this one, null: none. */
function passNodes(
  { state }: Segment,
  total: Segment | null,
  group: Communicator,
  { node, index, ranksPerNode, rankAt }: NodePlace,
): Tensor | null {
  const { device, shape, dtype } = state;
  const { stream } = group;
  const shares = cutRows(numRows(state), ranksPerNode);
  const share = shares[index];
  const entering = node === 0 ? null : empty(device, shape, dtype, stream);
  if (share !== undefined && entering !== null) group.recv(rowsOf(entering, share), rankAt(index, -1));
  if (share !== undefined && total !== null) {
    let leaving = total.state;
    if (entering !== null) {
      leaving = empty(device, shape, dtype, stream);
      applyTransition(total, entering, leaving, share, stream);
    }
    group.send(rowsOf(leaving, share), rankAt(index, 1));
  }
  if (entering === null || ranksPerNode === 1) return entering;
  const peers = Array.from({ length: ranksPerNode }, (_, i) => i).filter((peer) => peer !== index);
  group.exchange(
    share === undefined ? [] : peers.map((peer) => ({ tensor: rowsOf(entering, share), peer: rankAt(peer) })),
    peers.flatMap((peer) => {
      const theirs = shares[peer];
      return theirs === undefined ? [] : [{ tensor: rowsOf(entering, theirs), peer: rankAt(peer) }];
    }),
  );
  return entering;
}

function twoLevelCost(
  worldSize: number,
  bytes: SegmentBytes,
  fabric: FabricCost,
  options?: StrategyOptions,
): ScanCost {
  const perNode = fabric.nodes?.ranksPerNode ?? worldSize;
  const size = Math.min(worldSize, options?.ranksPerNode ?? perNode);
  const segment = bytes.state + bytes.transition;
  const shares = cutRows(bytes.rows, size).map(
    ({ begin, end }) => (bytes.state * (end - begin)) / bytes.rows,
  );
  const bytesSentByRank = Array.from({ length: worldSize }, (_, rank) => {
    const { node, isLastNode, index } = nodePlace({ rank, size: worldSize }, 'forward', size);
    const numTakers = isLastNode ? size - 1 - index : size - 1;
    const share = shares[index] ?? 0;
    return numTakers * segment + share * (Number(!isLastNode) + (node > 0 ? size - 1 : 0));
  });
  const largest = Math.max(...shares);
  const inside = (message: number) => toAllSeconds(size, message, slowestLink(size, fabric));
  const numGroups = worldSize / size;
  // Where a node is cut further, only some of the hops leave it.
  const nodes = fabric.nodes && { ...fabric.nodes, ranksPerNode: Math.max(1, Math.floor(perNode / size)) };
  const between = chainLinks(numGroups, { ...fabric, ...(nodes && { nodes }) }).reduce(
    (seconds, { link, count }) => seconds + count * (link.latencyS + largest / link.bandwidthBytesPerS),
    0,
  );
  const seconds = inside(segment) + between + (numGroups > 1 ? inside(largest) : 0);
  return { seconds, bytesSentByRank };
}
