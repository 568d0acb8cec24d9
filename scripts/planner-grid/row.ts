import type { Cell } from './cells.js';
import type { MeasuredCandidate, MeasuredCombine, MeasuredMessages } from './measure.js';

/** A line of the grid's file: the candidates of a cell, the messages of its links, or what combining its segments takes. */
export interface GridRow {
  readonly cell?: Cell;
  readonly candidates?: readonly MeasuredCandidate[];
  readonly links?: Cell;
  readonly messages?: readonly MeasuredMessages[];
  readonly segments?: Pick<Cell, 'stateBytes' | 'transition'>;
  readonly combine?: readonly MeasuredCombine[];
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle)]!) / 2;
}
