import type { Strategy } from '../../strategy.js';
import { type Check, demand } from '../check.js';
import { fabricOf, type link } from './scan.js';

/** The cost function that the planner chooses by. */
export function costChecks(strategy: Strategy): Check[] {
  return [
    {
      name: 'cost is finite, nothing for one rank, and grows with bytes, latency and slowness',
      run: async () => {
        for (const worldSize of [1, 2, 3, 4, 7, 8, 64, 1024]) {
          for (const ranksPerNode of [1, 2, 8, worldSize]) {
            if (worldSize % ranksPerNode === 0) checkCost(strategy, worldSize, ranksPerNode);
          }
        }
      },
    },
  ];
}

function checkCost(strategy: Strategy, worldSize: number, ranksPerNode: number): void {
  const cost = (state: number, transition: number, changes: Partial<typeof link> = {}) =>
    strategy.cost(worldSize, { state, transition, rows: 64 }, { ...fabricOf({ ranksPerNode }), ...changes });
  const where = `${worldSize} ranks, ${ranksPerNode} a node`;
  let before = cost(0, 0);
  for (const state of [1, 4096, 4097, 1e6, 1e9, 1e12]) {
    const { seconds, bytesSentByRank } = cost(state, state / 64);
    const sum = total(bytesSentByRank);
    demand(bytesSentByRank.length === worldSize, `${where}: bytes of ${bytesSentByRank.length} ranks`);
    demand(Number.isFinite(seconds) && seconds >= 0, `${where}, ${state} bytes: ${seconds} s`);
    demand(
      bytesSentByRank.every((bytes) => Number.isFinite(bytes) && bytes >= 0),
      `${where}: sends ${bytesSentByRank}`,
    );
    if (worldSize === 1) demand(seconds === 0 && sum === 0, `one rank: ${seconds} s, ${sum} bytes`);
    const isMore = seconds >= before.seconds && sum >= total(before.bytesSentByRank);
    demand(isMore, `${where}: less for ${state} bytes than for fewer`);
    const slower = [
      cost(state, state / 64, { latencyS: 1 }),
      cost(state, state / 64, { bandwidthBytesPerS: 1e3 }),
    ];
    for (const { seconds: more } of slower) {
      demand(
        more >= seconds,
        `${where}, ${state} bytes: ${more} s on a slower link, ${seconds} s on a faster`,
      );
    }
    before = { seconds, bytesSentByRank };
  }
}

function total(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}
