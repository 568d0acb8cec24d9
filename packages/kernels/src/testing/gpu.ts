import { test } from 'uvu';
import { Assertion } from 'uvu/assert';
import { type Device, openCudaDevice } from '../device.js';
import { LongscanError } from '../errors.js';
import { isRehearsal } from './rehearsal.js';

/** What a machine without a GPU says; kernels that are missing beside a GPU are a failure. */
const absent: readonly string[] = ['E-CUDA-DRIVER'];

/** Open from the first test to the last: while one device is, the GPU keeps its context and the kernels that are loaded. */
let keeper: Device | LongscanError | undefined;

/** Why this machine has no GPU to test on; null: it has one. */
function absence(): LongscanError | null {
  if (keeper === undefined) {
    keeper = openKeeper();
    if (!(keeper instanceof LongscanError)) {
      const device = keeper;
      test.after(() => device.close());
    }
  }
  return keeper instanceof LongscanError ? keeper : null;
}

function openKeeper(): Device | LongscanError {
  try {
    return openCudaDevice({ kernels: false });
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
  if (absence() !== null) {
    test.skip(name);
    return;
  }
  test(name, async () => {
    const device = openCudaDevice({ poison: true });
    try {
      await (isRehearsal ? rehearse(device, body) : body(device));
    } finally {
      device.close();
    }
  });
}

/**
 * On a device whose blocks have less shared memory than a call takes (`neededBytes`), it has to be refused with E-CUDA-KERNEL and both
 * numbers; on others `body` runs as it is.
 */
export async function refusedWithLittleMemory(
  device: Device,
  neededBytes: number,
  body: () => Promise<void>,
): Promise<void> {
  const { sharedBytesOfBlock } = device.gpu();
  if (neededBytes <= sharedBytesOfBlock) return body();
  const error: unknown = await (async () => body())().catch((cause: unknown) => cause);
  const told = `may have ${sharedBytesOfBlock} bytes of shared memory, only for sizes that take less, or GPUs with the ${neededBytes} `;
  if (!(error instanceof LongscanError && error.code === 'E-CUDA-KERNEL' && error.message.includes(told))) {
    throw new Error(`not refused with E-CUDA-KERNEL, "${told}"`, { cause: error });
  }
}

/** The body up to what it asserts of numbers, which are none: everything else that goes wrong is a failure. */
async function rehearse(device: Device, body: (device: Device) => Promise<void>): Promise<void> {
  const { name } = device.gpu();
  if (name !== 'Fake GPU') throw new Error(`LONGSCAN_REHEARSAL=1 on ${name}: nothing would be compared`);
  try {
    await body(device);
  } catch (error) {
    if (!(error instanceof Assertion)) throw error;
  }
}
