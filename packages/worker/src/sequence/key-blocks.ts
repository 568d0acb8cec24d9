import { copy, empty, type Tensor } from '@longscan/kernels';
import type { KeyRing } from './key-ring.js';
import type { SliceGroup, SliceRange } from './slice-group.js';

/** Keys [B, n, G, K] and values [B, n, G, V] of one piece of a sequence, n rows from token `start` on. */
export interface KeyPiece {
  readonly start: number;
  readonly k: Tensor;
  readonly v: Tensor;
}

/** A rank's keys and values in one stretch of memory, so that they travel as one message. */
export interface KeyBlock {
  readonly owner: number;
  readonly memory: Tensor;
  readonly pieces: readonly KeyPiece[];
}

/** Lays blocks out, of a ring's ranks and of the shape of one rank's own keys and values. */
export class KeyBlocks {
  constructor(
    private readonly ring: KeyRing,
    private readonly group: SliceGroup,
    private readonly own: readonly KeyPiece[],
    /** Tokens that a row of keys stands for. */
    private readonly chunk: number,
  ) {}

  /** A block's memory, home on the stream that touches it first. */
  allocate(owner: number, stream = this.group.communicator.stream): KeyBlock {
    const { k } = this.own[0]!;
    return this.inMemory(empty(k.device, [this.elements(owner)], k.dtype, stream), owner);
  }

  /** Memory for any block, to be used again and again. */
  allocateAny(): Tensor {
    const { k } = this.own[0]!;
    const size = Math.max(...this.group.slices.map((_, owner) => this.elements(owner)));
    return empty(k.device, [size], k.dtype, this.group.communicator.stream);
  }

  /** The block of `owner` at the start of some memory. */
  inMemory(memory: Tensor, owner: number): KeyBlock {
    const used = memory.view([this.elements(owner)]);
    let offset = 0;
    const next = ({ shape }: Tensor, numRows: number): Tensor => {
      const [B, , ...row] = shape as [number, number, ...number[]];
      const part = used.view([B, numRows, ...row], offset);
      offset += part.size;
      return part;
    };
    const { k, v } = this.own[0]!;
    const pieces = this.ring.piecesOf(owner).map((piece) => ({
      start: piece.start,
      k: next(k, this.rowsOf(piece)),
      v: next(v, this.rowsOf(piece)),
    }));
    return { owner, memory: used, pieces };
  }

  /** This rank's own block, a copy. */
  packOwn(): KeyBlock {
    const { device } = this.own[0]!.k;
    const block = this.allocate(this.group.communicator.rank, device.compute);
    for (const [i, { k, v }] of this.own.entries()) {
      copy(k, block.pieces[i]!.k);
      copy(v, block.pieces[i]!.v);
    }
    return block;
  }

  private rowsOf({ length }: SliceRange): number {
    return Math.ceil(length / this.chunk);
  }

  private elements(owner: number): number {
    const { k, v } = this.own[0]!;
    const rowSize = (k.size + v.size) / k.dim(1);
    return this.ring.piecesOf(owner).reduce((sum, piece) => sum + this.rowsOf(piece) * rowSize, 0);
  }
}
