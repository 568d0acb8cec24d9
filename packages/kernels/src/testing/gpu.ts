import { test } from 'uvu';
import { type Device, openCudaDevice } from '../device.js';
import { LongscanError } from '../errors.js';

/** What a machine without a GPU says; kernels that are missing beside a GPU are a failure. */
const absent: readonly string[] = ['E-CUDA-DRIVER'];

let reason: LongscanError | null | undefined;

/** Why this machine has no GPU to test on; null: it has one. */
function absence(): LongscanError | null {
  try {
    openCudaDevice({ kernels: false }).close();
    return null;
  } catch (error) {
    const isRequired = process.env.LONGSCAN_REQUIRE_GPU === '1';
    if (!isRequired && error instanceof LongscanError && absent.includes(error.code)) return error;
    throw error;
  }
}

/**
 * A uvu test with a GPU, whose fresh memory is NaN and which is closed after it; skipped on a machine without one, unless
 * LONGSCAN_REQUIRE_GPU=1. Call `test.run()` as ever.
 */
export function testOnGpu(name: string, body: (device: Device) => Promise<void>): void {
  reason ??= absence();
  if (reason !== null) {
    test.skip(name);
    return;
  }
  test(name, async () => {
    const device = openCudaDevice({ poison: true });
    try {
      await body(device);
    } finally {
      device.close();
    }
  });
}
