import type { Point } from '../plots/chart.js';
import { quantileOf } from '../quantile.js';

/** More points than pixels show nothing more, and make a page of megabytes. */
export const maxPoints = 400;

/**
 * A curve of at most `maxPoints` points: neighbours become one, their median with the 5th and 95th percentile. A shorter curve
 * stays as it is.
 */
export function thin(points: readonly { readonly x: number; readonly y: number }[]): Point[] {
  if (points.length <= maxPoints) return [...points];
  const size = Math.ceil(points.length / maxPoints);
  return Array.from({ length: Math.ceil(points.length / size) }, (_, i) => {
    const group = points.slice(i * size, (i + 1) * size);
    const values = group.map(({ y }) => y);
    return {
      x: group[Math.floor(group.length / 2)]!.x,
      y: quantileOf(values, 0.5),
      low: quantileOf(values, 0.05),
      high: quantileOf(values, 0.95),
    };
  });
}
