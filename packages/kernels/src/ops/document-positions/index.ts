import type { Device } from '../../device.js';
import { empty, expectShape, type Tensor } from '../../tensor.js';
import './native.js';

export interface DocumentPositionsOptions {
  /** i32 [B, T], 1 where a document starts; null: none does. */
  readonly resets: Tensor | null;
  /**
   * Tokens of the open document before these ones: by row, i32 [B], or one number for all rows (default 0).
   */
  readonly before?: Tensor | number;
}

/** i32 [B, T]: how many tokens of its document stand before each token. */
export function documentPositions(
  device: Device,
  shape: readonly [number, number],
  { resets, before = 0 }: DocumentPositionsOptions,
): Tensor {
  const [B] = shape;
  if (resets !== null) expectShape('document-positions', 'resets', resets, shape);
  const [start, byRow] = typeof before === 'number' ? [before, null] : [0, before];
  if (byRow !== null) expectShape('document-positions', 'before', byRow, [B]);
  const positions = empty(device, shape, 'i32');
  const { native, compute } = device;
  native.documentPositions(compute.id, start, byRow?.id ?? null, resets?.id ?? null, positions.id);
  device.units?.mark(positions);
  return positions;
}

/** i32 like `positions`: 1 at the first token of every chunk of a document, else 0. */
export function chunkStarts(positions: Tensor, chunk: number): Tensor {
  const { device } = positions;
  const starts = empty(device, positions.shape, 'i32');
  device.native.chunkStarts(device.compute.id, chunk, positions.id, starts.id);
  device.units?.markLike(positions, starts);
  return starts;
}
