import type { StrategyCost } from '../plan/strategies.js';
import { type PredictionMachine, predictSeconds } from './predict.js';
import type { CollectiveRow } from './rows.js';

/** Halvings of the time that is looked for: more exact than any measurement. */
const numHalvings = 30;

/**
 * The measurement that tells what handing a message over costs: the chain of the smallest state, which is nothing but messages
 * that each wait for the one before. Undefined also where chains are no messages.
 */
export function handOverRow<Row extends CollectiveRow>(rows: readonly Row[]): Row | undefined {
  if (rows.some(({ op }) => op === 'chain')) return undefined;
  const chains = rows.filter(({ strategy }) => strategy === 'ring');
  return chains.sort((a, b) => a.bytes - b.bytes)[0];
}

/**
 * What a message of a scan costs a core of either end. Messages back to back, which links are fitted to, find the other end's
 * thread awake; in a scan it sleeps until its turn comes, and has been told of an exchange of its own. Null without a chain.
 */
export function handOverSeconds(
  rows: readonly CollectiveRow[],
  machine: PredictionMachine,
  strategies: readonly StrategyCost[],
): number | null {
  const chain = handOverRow(rows);
  if (chain === undefined) return null;
  const predicted = (handOverS: number) => predictSeconds(chain, machine, strategies, handOverS) ?? 0;
  let [low, high] = [machine.overheadS ?? 0, chain.medianS];
  if (predicted(low) >= chain.medianS) return low;
  for (let i = 0; i < numHalvings; i++) {
    const middle = (low + high) / 2;
    if (predicted(middle) < chain.medianS) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}
