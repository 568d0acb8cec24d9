import { chainSeconds } from '@longscan/worker';
import type { ModelledStrategy, ModelTrace, RecurrenceTrace } from '@longscan/worker/protocol';
import type { Fabric } from '../fabric/fabric.js';
import { fetchCost } from './fetch-time.js';
import type { StrategyCost } from './strategies.js';
import { sumCost } from './sum-time.js';

/**
 * What each strategy would cost in one step: every recurrence call scans once forward and once in reverse, and every halo
 * goes to the next rank and its gradient back; with what is the same under any: sums, and softmax `attention`. Nothing is
 * counted as overlapped, so this is an upper bound of the exposed time. Fastest first, equals by name. `units`: segments
 * that a rank holds, in deterministic mode.
 */
export function modelStrategies(
  sp: number,
  { recurrences, halos, sums, fetches }: Pick<ModelTrace, 'recurrences' | 'halos' | 'sums' | 'fetches'>,
  strategies: readonly StrategyCost[],
  fabric: Fabric,
  attention: Pick<ModelledStrategy, 'seconds' | 'bytesSentByRank'>,
  units = 1,
): ModelledStrategy[] {
  const haloBytes = halos.reduce((sum, { bytes }) => sum + bytes, 0);
  const haloSeconds = halos.length * fabric.latencyS + haloBytes / fabric.bandwidthBytesPerS;
  const sum = sumCost(sp, sums, fabric);
  const fetch = fetchCost(sp, fetches, fabric);
  const modelled = strategies.map((strategy) => {
    let seconds = attention.seconds + sum.seconds + fetch.seconds + (sp > 1 ? 2 * haloSeconds : 0);
    // The last rank has no next one, the first one no previous one.
    const bytesSentByRank = attention.bytesSentByRank.map(
      (bytes, rank) =>
        bytes +
        sum.bytesSent +
        fetch.bytesSentByRank[rank]! +
        haloBytes * (Number(rank < sp - 1) + Number(rank > 0)),
    );
    for (const { stateBytes, transitionBytes, stateRows } of recurrences) {
      const bytes = { state: stateBytes, transition: transitionBytes, rows: stateRows, units };
      const scan = strategy.cost(sp, bytes, fabric);
      seconds += 2 * scan.seconds;
      for (let rank = 0; rank < sp; rank++) {
        // The reverse scan is the same one with the ranks counted from the other end.
        const forward = scan.bytesSentByRank[rank] ?? 0;
        const reverse = scan.bytesSentByRank[sp - 1 - rank] ?? 0;
        bytesSentByRank[rank] = (bytesSentByRank[rank] ?? 0) + forward + reverse;
      }
    }
    return { strategy: strategy.name, seconds, bytesSentByRank };
  });
  return modelled.sort((a, b) => a.seconds - b.seconds || (a.strategy < b.strategy ? -1 : 1));
}

/** More blocks than this gain nothing: each has to be worth its message. */
const blockCounts = [1, 2, 4, 8, 16, 32, 64] as const;

/** Blocks that make a pipelined chain over `sp` ranks fastest for the largest state of the model (ZeCO, arXiv 2507.01004). */
export function bestBlocks(sp: number, recurrences: readonly RecurrenceTrace[], fabric: Fabric): number {
  const stateBytes = Math.max(0, ...recurrences.map((recurrence) => recurrence.stateBytes));
  const seconds = blockCounts.map((blocks) => chainSeconds(sp, stateBytes, blocks, fabric));
  return blockCounts[seconds.indexOf(Math.min(...seconds))] ?? 1;
}
