import type { FabricFile } from '../fabric/fabric-file.js';
import { thisMachine } from '../fabric/machine.js';

/** What a probe could have found between so many ranks of this machine. */
export function probedFile(numRanks: number): FabricFile {
  const link = { latencyS: 1e-5, gapS: 5e-6, bandwidthBytesPerS: 1e9 };
  return {
    ...{ schema: 1, name: 'made up', link },
    measured: {
      ...{ date: '2026-11-29T10:00:00.000Z', machine: { ...thisMachine(), device: 'cpu' }, engine: 'tcp' },
      ...{ versions: {}, numRanks, points: [] },
      fit: { inside: { meanRelativeError: 0.1, worstRelativeError: 0.2, residuals: [] } },
    },
  };
}
