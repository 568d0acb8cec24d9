import type { Addresses, RankTable } from '@longscan/worker/protocol';

/**
 * Gathers the ranks of one launch: a Hello from each, then from each the addresses under which the others reach it.
 * Pure bookkeeping; deadlines are its owner's.
 */
export class Rendezvous {
  readonly #hosts: (string | null)[];
  readonly #addresses: (Addresses | null)[];

  constructor(worldSize: number) {
    this.#hosts = Array.from({ length: worldSize }, () => null);
    this.#addresses = Array.from({ length: worldSize }, () => null);
  }

  hello(rank: number, host: string): void {
    this.#hosts[rank] = host;
  }

  ready(rank: number, addresses: Addresses): void {
    this.#addresses[rank] = addresses;
  }

  /** Ranks that have not said hello yet. */
  get absent(): readonly number[] {
    return indicesOfNull(this.#hosts);
  }

  /** Ranks that have not told their addresses yet. */
  get unready(): readonly number[] {
    return indicesOfNull(this.#addresses);
  }

  /** Where everybody is, once everybody is ready. */
  get table(): RankTable | null {
    if (this.unready.length > 0 || this.absent.length > 0) return null;
    const ranks = this.#hosts.map((host, rank) => ({ rank, host: host!, addresses: this.#addresses[rank]! }));
    return { type: 'rank-table', ranks };
  }
}

function indicesOfNull(values: readonly unknown[]): number[] {
  return values.flatMap((value, index) => (value === null ? [index] : []));
}
