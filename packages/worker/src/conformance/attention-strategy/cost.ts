import type { AttentionCall, AttentionLayout, AttentionStrategy } from '../../attention-strategy.js';
import { slicesOf } from '../../sequence/slice-group.js';
import type { LinkCost } from '../../strategy.js';
import { type Check, demand } from '../check.js';
import { link } from '../strategy/scan.js';

const call: AttentionCall = {
  ...{ numSequences: 1, numHeads: 128, numKeyHeads: 64, keySize: 32, valueSize: 32 },
  ...{ window: null, chunk: null },
};

/** The cost function that the planner chooses by. */
export function costChecks(strategy: AttentionStrategy): Check[] {
  return [
    {
      name: 'cost is nothing for one rank, and grows with tokens, latency and slowness',
      run: async () => {
        for (const numRanks of [1, 2, 4, 8, 64]) checkCost(strategy, numRanks);
      },
    },
  ];
}

function checkCost(strategy: AttentionStrategy, numRanks: number): void {
  const cost = (length: number, change: Partial<LinkCost> = {}, options: Partial<AttentionCall> = {}) => {
    const slices = slicesOf(new Array<number>(numRanks).fill(length));
    const layout: AttentionLayout = { slices, packed: false, units: null, elementBytes: 4 };
    const { seconds, bytesSentForward, bytesSentBackward } = strategy.cost({ ...call, ...options }, layout, {
      ...link,
      ...change,
    });
    const sent = [...bytesSentForward, ...bytesSentBackward];
    demand(sent.length === 2 * numRanks, `${numRanks} ranks: bytes of ${sent.length}, both passes`);
    return { seconds, bytes: sent.reduce((sum, bytes) => sum + bytes, 0) };
  };
  const [few, many] = [cost(64), cost(1024)];
  if (numRanks === 1) {
    demand(many.seconds === 0 && many.bytes === 0, `one rank: ${many.seconds} s, ${many.bytes} bytes`);
    return;
  }
  const where = `${numRanks} ranks`;
  demand(many.bytes > few.bytes && many.seconds > few.seconds, `${where}: no more for more tokens`);
  demand(cost(64, { latencyS: 1 }).seconds >= 1, `${where}: latency is not counted`);
  demand(cost(64, { bandwidthBytesPerS: 1 }).seconds >= few.bytes / numRanks / 2, `${where}: nor bandwidth`);
  const window = cost(1024, {}, { window: 64 });
  demand(
    window.bytes <= many.bytes,
    `${where}: a window costs ${window.bytes} bytes, no window ${many.bytes}`,
  );
}
