import { type Device, LongscanError } from '@longscan/kernels';
import type { BenchShape } from '../protocol/bench.js';

const probeTokens = 4096;
/** Of what is free: the allocator rounds sizes up. */
const usableShare = 0.8;

/**
 * A number of tokens for which `run` has memory enough on this GPU, from what it takes for a few: memory grows with the
 * tokens. Null on a CPU, and where not even those fit.
 */
export function lengthThatFits(
  device: Device,
  shape: BenchShape,
  run: (shape: BenchShape) => void,
): number | null {
  if (device.kind !== 'cuda') return null;
  const T = Math.min(probeTokens, shape.T);
  const { inUseBytes, reservedBytes } = device.memory({ resetPeak: true });
  const usableBytes = usableShare * (device.gpu().freeBytes + reservedBytes - inUseBytes);
  try {
    device.scope(() => run({ ...shape, T }));
  } catch (error) {
    if (error instanceof LongscanError && error.code === 'E-MEMORY') return null;
    throw error;
  }
  const bytesPerToken = (device.memory().peakBytes - inUseBytes) / T;
  const fits = Math.min(shape.T - 1, Math.floor(usableBytes / bytesPerToken));
  return fits < T ? null : fits - (fits % T);
}
