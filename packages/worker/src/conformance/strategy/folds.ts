import { isDeepStrictEqual } from 'node:util';
import { recordStrategyScan, type ScannedState } from '../../schedule/record-scan.js';
import { singleCalls } from '../../schedule/single-calls.js';
import type { Strategy } from '../../strategy.js';
import { type Check, demand } from '../check.js';

const states: readonly ScannedState[] = (['identity', 'diagonal', 'dense'] as const).map((kind) => {
  const [numHeads, rows, cols] = [4, 64, 64];
  const perHead = { identity: 0, diagonal: cols, dense: cols * cols }[kind];
  const sizes = { stateBytes: 4 * numHeads * rows * cols, stateRows: numHeads * rows, numHeads };
  return { kind, ...sizes, transitionBytes: 4 * numHeads * perHead };
});

/** A strategy that says of itself that it folds: what is made up for most of its ranks is what they would enqueue. */
export function foldChecks(strategy: Strategy): Check[] {
  if (strategy.folds !== true) return [];
  return [1, 2, 4, 5, 12].map((size) => ({
    name: `folds: ${size} ranks enqueue what each of them does by itself`,
    run: async () => checkFolds(strategy, size),
  }));
}

function checkFolds(strategy: Strategy, size: number): void {
  const { folds: _, ...oneByOne } = strategy;
  for (const direction of ['forward', 'reverse'] as const) {
    for (const units of strategy.keepsUnits ? [1, 2] : [1]) {
      for (const state of states) {
        const of = (one: Pick<Strategy, 'start' | 'folds'>) =>
          recordStrategyScan(one, state, size, { blocks: 1 }, { direction, units });
        const [folded, alone] = [of(strategy), of(oneByOne)];
        for (const [rank, { entries }] of folded.entries()) {
          const isAlike = isDeepStrictEqual(singleCalls(entries), alone[rank]!.entries);
          demand(
            isAlike,
            `${direction}, ${state.kind}, ${units} units: rank ${rank} of ${size} does other things`,
          );
        }
      }
    }
  }
}
