import type { Communicator, Device, DType, Tensor, TransitionKind } from '@longscan/kernels';
import type { Segment } from './state/segment.js';

/** `forward` carries states from the first rank to the last; `reverse` their gradients back. */
export type Direction = 'forward' | 'reverse';

/** Bytes of one segment as sent: E, and M with its reset bits. */
export interface SegmentBytes {
  readonly state: number;
  readonly transition: number;
  /** Rows of E, which is cut between them only (`cutRows`). */
  readonly rows: number;
  /** Segments that a rank holds, each of these bytes; more than 1 in deterministic mode only. */
  readonly units?: number;
  /** Class of M; left out: any but dense. */
  readonly kind?: TransitionKind;
}

/** What a link between neighbouring ranks costs; latency and per-message gap kept apart. */
export interface LinkCost {
  readonly latencyS: number;
  readonly gapS: number;
  readonly bandwidthBytesPerS: number;
}

/**
 * What a chain through memory that neighbours have mapped costs: one kernel on each rank, which hands a state on in blocks that
 * follow each other (`chain-link.ts`).
 */
export interface ChainLinkCost {
  /** Of the kernel on a rank; ranks launch theirs beside each other. */
  readonly launchS: number;
  /** Of a hop, from the block's arrival on a rank to its arrival on the next one, without its bytes. */
  readonly latencyS: number;
  /** Of a hop: all lanes of a rank together. */
  readonly bandwidthBytesPerS: number;
  /** What the kernel reaches where M is dense; left out: not known, and not counted. */
  readonly denseFlopsPerS?: number | undefined;
}

/** The links of a group of ranks. */
export interface FabricCost extends LinkCost {
  /** Chains between GPUs of one host that go through mapped memory. Left out: they are messages. */
  readonly chains?: ChainLinkCost | undefined;
  /** Where ranks share nodes: links between nodes, the others being those inside. Left out: all ranks share one. */
  readonly nodes?: { readonly ranksPerNode: number; readonly between: LinkCost };
}

export interface ScanCost {
  /** Until the last rank has its state, nothing overlapped. */
  readonly seconds: number;
  /** Of a forward scan, by rank; a reverse scan has them mirrored. */
  readonly bytesSentByRank: readonly number[];
}

export interface StrategyOptions {
  /** Blocks that the free axis is cut into, where a strategy does that. */
  readonly blocks: number;
  /** Neighbouring ranks that share a node, a divisor of the group's size; left out: all of them. */
  readonly ranksPerNode?: number;
}

/** Blocks that are tried where a job leaves their number open; more gain nothing: each has to be worth its message. */
export const blockCounts = [1, 2, 4, 8, 16, 32, 64] as const;

/** A scan under way. */
export interface PendingState {
  /**
   * Orders the compute stream (not the host) after the scan and gives the state [B, H, R, N] that enters this rank's
   * slice, or in reverse the adjoint of the one that leaves it. Null on the rank where the scan begins: zero.
   */
  wait(): Tensor | null;
}

/** A rank's turn in a chain where each runs its slice when the state has come to it. */
export interface SerialTurn {
  /** Orders the compute stream after the arrival of the state (null: this rank is first). */
  receive(device: Device, shape: readonly number[], dtype: DType): Tensor | null;
  /** Sends the state that leaves the slice to the next rank, if there is one. */
  handOn(state: Tensor): void;
}

/**
 * A way to run the exclusive scan of segments over ranks. It knows segments and communicators, and nothing of layers.
 * One file in `sp/` with this as its default export.
 */
export interface Strategy {
  readonly name: string;
  /** URL of where it was described. */
  readonly paper: string;
  /**
   * Exactly the bytes; of the time, what the links need, with no time for combining segments. `options` left out: the best
   * number of blocks, and nodes as the fabric has them.
   */
  cost(worldSize: number, bytes: SegmentBytes, fabric: FabricCost, options?: StrategyOptions): ScanCost;
  /** Which options make a difference to it; left out: none. */
  readonly takes?: keyof StrategyOptions;
  /**
   * States pass through the `units` of a segment one by one: deterministic mode refuses a strategy that composes segments,
   * which adds in an order that depends on the number of ranks.
   */
  readonly keepsUnits?: true;
  /** Needs nodes of equally many ranks: the planner refuses it where the ranks of a sequence do not fill theirs. */
  readonly needsWholeNodes?: true;
  /**
   * From its third rank on, in the order of a scan, each rank enqueues what the one before it does, and one op so many times more: as where
   * everybody folds what came before. Of thousands of ranks then few are recorded, and conformance holds those against the others.
   */
  readonly folds?: true;
  /** Only enqueues: once it has returned, the scan finishes even while JavaScript is blocked. */
  start(local: Segment, group: Communicator, direction: Direction, options: StrategyOptions): PendingState;
  /** For recurrences that no segment describes (`opaque`): slice after slice. Left out: the strategy refuses them. */
  serial?(group: Communicator, direction: Direction): SerialTurn;
}

export function defineStrategy(strategy: Strategy): Strategy {
  return strategy;
}

export function opposite(direction: Direction): Direction {
  return direction === 'forward' ? 'reverse' : 'forward';
}

/** This rank's place in a scan: `position` 0 is where it begins. */
export interface ScanPlace {
  readonly position: number;
  /** The rank that hands on to this one; null at the beginning. */
  readonly prev: number | null;
  /** The rank that this one hands on to; null at the end. */
  readonly next: number | null;
}

export function scanPlace({ rank, size }: { rank: number; size: number }, direction: Direction): ScanPlace {
  const step = direction === 'forward' ? 1 : -1;
  const position = direction === 'forward' ? rank : size - 1 - rank;
  return {
    position,
    prev: position === 0 ? null : rank - step,
    next: position === size - 1 ? null : rank + step,
  };
}
