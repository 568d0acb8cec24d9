import type { Direction } from './strategy.js';

/** A rank's place among nodes, all counted in the order of the scan. */
export interface NodePlace {
  readonly node: number;
  readonly numNodes: number;
  readonly isLastNode: boolean;
  /** This rank's place in its node. */
  readonly index: number;
  readonly ranksPerNode: number;
  /** The rank at a place of this node, or of one that is `steps` nodes further on. */
  rankAt(index: number, steps?: number): number;
}

/** @throws RangeError if the ranks do not fill whole nodes: a plan never has such */
export function nodePlace(
  { rank, size }: { rank: number; size: number },
  direction: Direction,
  ranksPerNode = size,
): NodePlace {
  if (size % ranksPerNode !== 0) throw new RangeError(`${size} ranks in nodes of ${ranksPerNode}`);
  const ofPosition = (position: number) => (direction === 'forward' ? position : size - 1 - position);
  const position = ofPosition(rank);
  const node = Math.floor(position / ranksPerNode);
  const numNodes = size / ranksPerNode;
  return {
    node,
    numNodes,
    isLastNode: node === numNodes - 1,
    index: position % ranksPerNode,
    ranksPerNode,
    rankAt: (index, steps = 0) => ofPosition((node + steps) * ranksPerNode + index),
  };
}
