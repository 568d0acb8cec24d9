import { documentPositions, LongscanError, reportBug, type Tensor } from '@longscan/kernels';
import type { SliceGroup } from './slice-group.js';

/** Where documents start, as one rank sees it. */
export interface Documents {
  /** i32 [B, T], 1 where a document starts; null: every sequence is one document. */
  readonly resets: Tensor | null;
  /**
   * i32 [B]: tokens that earlier slices hold of the document that is open where this slice begins. Null: none, or where
   * `resets` is null the slice's start.
   */
  readonly before: Tensor | null;
}

/** First token of this rank's slice, counted from the beginning of the sequence. */
export function sliceStart(group: SliceGroup | null): number {
  return group?.slices[group.communicator.rank]?.start ?? 0;
}

/**
 * i32 [B, T] for the tokens of x [B, T, …]: how many tokens of its document stand before each.
 * @throws LongscanError E-STRATEGY if documents are packed over ranks and nobody said how far back they began
 */
export function positionsOf(x: Tensor, group: SliceGroup | null, { resets, before }: Documents): Tensor {
  const start = sliceStart(group);
  if (resets !== null && before === null && start > 0) {
    throw new LongscanError({
      code: 'E-STRATEGY',
      where: 'positions',
      found: 'packed documents in a slice that does not begin the sequence',
      expected: 'how many tokens of the open document earlier slices hold',
      fix: reportBug(),
    });
  }
  return documentPositions(x.device, [x.dim(0), x.dim(1)], { resets, before: before ?? start });
}
