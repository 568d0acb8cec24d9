import type { CollectiveCase } from '@longscan/worker/protocol';

/**
 * What a rank's links carry of each byte that an operation is about, as nccl-tests count: bus bandwidth = factor · bytes / time
 * is comparable with what the hardware can do whatever the number of ranks.
 */
export function busFactor(op: CollectiveCase['op'], numRanks: number): number {
  switch (op) {
    case 'all-gather':
    case 'reduce-scatter':
      return (numRanks - 1) / numRanks;
    case 'all-reduce':
      return (2 * (numRanks - 1)) / numRanks;
    case 'send-recv':
    case 'burst':
    case 'chain':
    case 'chain-run':
    case 'scan':
      return 1;
  }
}
