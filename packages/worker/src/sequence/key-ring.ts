import { evenPieces } from './mirror.js';
import type { SliceRange } from './slice-group.js';

/** What of a call decides how far blocks go. */
export interface KeyRingOptions {
  readonly window: number | null;
  readonly chunk: number | null;
}

/**
 * How the keys and values of each rank, its block, go from rank to rank. Where every query sees all earlier tokens, the
 * tokens are first spread evenly (see `evenPieces`) and every block goes once around the ring. Otherwise a block goes from
 * its owner to the ranks after it, as far as somebody can see it.
 */
export class KeyRing {
  readonly isEvened: boolean;
  /** Hops of the block that goes furthest. */
  readonly numHops: number;
  /** The last rank that each block goes to, where blocks do not go around. */
  private readonly lastReader: readonly number[];

  constructor(
    private readonly slices: readonly SliceRange[],
    { window, chunk }: KeyRingOptions,
  ) {
    this.isEvened = window === null && chunk === null;
    const reach = window === null ? Infinity : window - 1;
    this.lastReader = slices.map(({ start, length }, owner) =>
      slices.reduce((last, reader, rank) => (start + length > reader.start - reach ? rank : last), owner),
    );
    const hops = this.lastReader.map((last, owner) => last - owner);
    this.numHops = this.isEvened ? slices.length - 1 : Math.max(...hops);
  }

  /** Tokens of a rank's block, which are those that it attends. */
  piecesOf(rank: number): readonly SliceRange[] {
    return this.isEvened ? evenPieces(this.slices, rank) : [this.slices[rank]!];
  }

  /** The rank that has a block after so many hops; null: the block goes less far. */
  holderAt(owner: number, hop: number): number | null {
    const rank = owner + hop;
    if (this.isEvened) return hop <= this.numHops ? rank % this.slices.length : null;
    return rank <= this.lastReader[owner]! ? rank : null;
  }

  /** Whose block a rank has after so many hops; null: nobody's. */
  ownerAt(rank: number, hop: number): number | null {
    const numRanks = this.slices.length;
    const owner = this.isEvened ? (rank - hop + numRanks) % numRanks : rank - hop;
    return owner >= 0 && this.holderAt(owner, hop) === rank ? owner : null;
  }
}
