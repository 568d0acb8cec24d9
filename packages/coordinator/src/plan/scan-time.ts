import type { Fabric } from '../fabric/fabric.js';
import { type LayerScans, segmentBytes } from './layer-scans.js';
import type { ScanCandidate } from './scan-candidates.js';

/** What the scans of one layer take in a step, forward and in reverse. */
export interface ScanTime {
  /** With nothing beside them. */
  readonly seconds: number;
  /** By how much they make the step longer, with the computation beside them. */
  readonly exposedS: number;
}

/** A model of what a layer's scans take. */
export type TimeScans = (candidate: ScanCandidate, scans: LayerScans) => ScanTime;

/** By the strategies' own formulas: what the links need at least. */
export function timeByFormula(sp: number, fabric: Fabric): TimeScans {
  return ({ strategy, options }, { recurrences, units, work }) => {
    let [seconds, exposedS] = [0, 0];
    for (const recurrence of recurrences) {
      const scan = strategy.cost(sp, segmentBytes(recurrence, units), fabric, options);
      seconds += 2 * scan.seconds;
      for (const { besideS } of [work.forward, work.reverse]) {
        exposedS += Math.max(0, scan.seconds - besideS / recurrences.length);
      }
    }
    return { seconds, exposedS };
  };
}

/** Bytes that each sp rank sends for the scans of one layer in a step; the reverse scan has the ranks from the other end. */
export function scanBytes(sp: number, fabric: Fabric, candidate: ScanCandidate, scans: LayerScans): number[] {
  const { strategy, options } = candidate;
  const bytes = new Array<number>(sp).fill(0);
  for (const recurrence of scans.recurrences) {
    const { bytesSentByRank } = strategy.cost(sp, segmentBytes(recurrence, scans.units), fabric, options);
    for (let rank = 0; rank < sp; rank++) {
      bytes[rank]! += (bytesSentByRank[rank] ?? 0) + (bytesSentByRank[sp - 1 - rank] ?? 0);
    }
  }
  return bytes;
}
