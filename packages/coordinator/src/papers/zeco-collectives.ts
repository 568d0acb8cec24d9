import type { ScannedState } from '@longscan/worker';
import type { Fabric } from '../fabric/fabric.js';
import { scanSeconds } from '../simulate/scan-seconds.js';
import { modelTable, paperValue, type Reproduction } from './cells.js';
import { zecoCollectives } from './paper-points.js';

const [numHeads, headDim, bytesPerF32] = [32, 128, 4];

/** E of 32 heads of 128 x 128 in f32, and the decays of GLA. */
const state: ScannedState = {
  kind: 'diagonal',
  stateBytes: bytesPerF32 * numHeads * headDim * headDim,
  stateRows: numHeads * headDim,
  transitionBytes: bytesPerF32 * numHeads * headDim,
};

/** Blocks of the state on the way; the paper does not tell how many it took. */
const blocks = 64;

/**
 * The one link that explains three cells: bandwidth from the largest All-Gather, latency and gap from the smallest and the
 * largest All-Scan, by the formulas of the two.
 */
export function zecoFabric(): Fabric {
  const [few, many] = [8, 256];
  const ms = (row: string, numRanks: number) => paperValue(zecoCollectives, row, numRanks) / 1e3;
  const segment = state.stateBytes + state.transitionBytes;
  const bandwidthBytesPerS = ((many - 1) * segment) / ms('All-Gather', many);
  const hop = (ms('All-Scan', many) - ms('All-Scan', few)) / (many - few);
  return {
    name: "ZeCO's links, fitted",
    latencyS: hop - state.stateBytes / blocks / bandwidthBytesPerS,
    gapS: (ms('All-Scan', few) - (few - 1) * hop) / (blocks - 1),
    bandwidthBytesPerS,
  };
}

export async function reproduceCollectives(sizes: readonly number[] = []): Promise<Reproduction> {
  const fabric = zecoFabric();
  const modelled = await modelTable(zecoCollectives, sizes, {
    fitted: ['All-Gather 256', 'All-Scan 8', 'All-Scan 256'],
    at: async ({ strategy }, numRanks) => {
      const scan = { strategy: strategy!, state, numRanks, blocks, engine: 'nccl' } as const;
      return 1e3 * (await scanSeconds(scan, fabric));
    },
  });
  const us = (seconds: number) => `${(1e6 * seconds).toPrecision(3)} µs`;
  return {
    ...modelled,
    assumptions: [
      `3 numbers fitted to 3 cells: bandwidth ${(fabric.bandwidthBytesPerS / 1e9).toPrecision(3)} GB/s (All-Gather, 256), latency ${us(fabric.latencyS)} and gap ${us(fabric.gapS)} (All-Scan, 8 and 256)`,
      `assumed: states in f32, ${blocks} blocks, all links alike`,
    ],
  };
}
