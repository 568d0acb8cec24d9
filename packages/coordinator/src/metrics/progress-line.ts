import type { StepRow } from '@longscan/worker/protocol';
import { formatBytes, formatCount } from '../format.js';

/** Weight of the newest step in the smoothed time per step. */
const newest = 0.2;

/** Facts about a run that every line is measured against. */
export interface ProgressScale {
  /** Steps of the whole job. */
  readonly steps: number;
}

/** Keeps the few numbers that a progress line needs besides the step's own. */
export class StepClock {
  #smoothedMs: number | null = null;

  /** Takes a step's time and gives the time that `stepsLeft` more will take, in milliseconds. */
  etaMs(stepMs: number, stepsLeft: number): number {
    const prev = this.#smoothedMs ?? stepMs;
    this.#smoothedMs = prev + newest * (stepMs - prev);
    return this.#smoothedMs * stepsLeft;
  }
}

/**
 * A step's facts in two parts: how far and how well; how fast.
 *
 *     step 1240/20480 6.1% | loss 2.8134 | grad norm 0.420 | lr 9.80e-4
 *     1.23 s/step | 425k tokens/s | exposed comm 3.1% | 1.2 GiB | ETA 6 h 34 min
 */
export function formatStep(row: StepRow, { steps }: ProgressScale, etaMs: number): readonly [string, string] {
  const percent = ((100 * row.step) / steps).toFixed(1);
  const { spExposedMs } = row;
  const exposed = spExposedMs !== null && row.stepMs > 0 ? (100 * spExposedMs) / row.stepMs : 0;
  const quality = [
    `step ${row.step}/${steps} ${percent}%`,
    `loss ${formatOrNot(row.loss, 4)}`,
    `grad norm ${formatOrNot(row.gradNorm, 3)}`,
    `lr ${row.lr.toExponential(2)}`,
  ];
  const speed = [
    `${formatMs(row.stepMs)}/step`,
    `${formatCount(Math.round(row.tokensPerSecond))} tokens/s`,
    ...(row.mfu === null ? [] : [`MFU ${(100 * row.mfu).toFixed(1)}%`]),
    ...(spExposedMs === null ? [] : [`exposed comm ${exposed.toFixed(1)}%`]),
    formatBytes(row.peakBytes),
    `ETA ${formatDuration(etaMs)}`,
  ];
  return [quality.join(' | '), speed.join(' | ')];
}

/** `412 ms`, `1.23 s` */
function formatMs(ms: number): string {
  return ms < 1000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toPrecision(3)} s`;
}

/** `45 s`, `3 min 20 s`, `6 h 34 min`, `12 d 3 h` */
export function formatDuration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  const units = [
    ['d', Math.floor(seconds / 86_400)],
    ['h', Math.floor(seconds / 3600) % 24],
    ['min', Math.floor(seconds / 60) % 60],
    ['s', seconds % 60],
  ] as const;
  const first = units.findIndex(([, count]) => count > 0);
  if (first < 0) return '0 s';
  return units
    .slice(first, first + 2)
    .map(([unit, count]) => `${count} ${unit}`)
    .join(' ');
}

function formatOrNot(value: number | null, digits: number): string {
  return value === null ? 'not finite' : value.toFixed(digits);
}
