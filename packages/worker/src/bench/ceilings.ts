import { copy, type Device, empty, fill, linear } from '@longscan/kernels';
import { measure } from './measure.js';

/** What the machine can do at most; null: not known. */
export interface Ceilings {
  readonly bytesPerSecond: number;
  readonly flopsPerSecond: number | null;
}

/**
 * Dense bf16 matrix products of 8192 × 8192 × 8192 on random data, FLOP/s, as measured with PyTorch 2.11 (docs/benchmarks): we
 * have no matrix product of our own on GPUs to measure it with.
 */
const measuredMatrixRates: Readonly<Record<string, number>> = { 'NVIDIA H200': 790e12 };

const numRounds = 10;

/** Bytes per second are measured here, by a copy, read and written counted; so are FLOP per second on a CPU. */
export async function measureCeilings(device: Device): Promise<Ceilings> {
  const { kind } = device;
  const size = (kind === 'cuda' ? 2048 : 64) * 2 ** 20;
  const [source, target] = [empty(device, [size / 4]), empty(device, [size / 4])];
  fill(source, 1);
  const copied = await measure(device, numRounds, () => copy(source, target));
  for (const tensor of [source, target]) tensor.release();
  const flopsPerSecond =
    kind === 'cuda' ? (measuredMatrixRates[device.gpu().name] ?? null) : await matrixRate(device);
  return { bytesPerSecond: (2 * size) / (copied.medianMs / 1000), flopsPerSecond };
}

async function matrixRate(device: Device): Promise<number> {
  const N = 1024;
  const [x, weight] = [empty(device, [N, N]), empty(device, [N, N])];
  for (const tensor of [x, weight]) fill(tensor, 0.5);
  const multiplied = await measure(device, numRounds, () => {
    device.scope(() => void linear({ x, weight, bias: null }));
  });
  for (const tensor of [x, weight]) tensor.release();
  return (2 * N ** 3) / (multiplied.medianMs / 1000);
}
