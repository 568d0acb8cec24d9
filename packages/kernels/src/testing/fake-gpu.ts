import { fileURLToPath } from 'node:url';
import { type Device, openCudaDevice } from '../device.js';
import type { LongscanError } from '../errors.js';

const built = (file: string): string => fileURLToPath(new URL(`../../build/${file}`, import.meta.url));

/** A driver whose GPU is a thread, a cuBLASLt for it, and kernels that only answer questions: cuda/testing/fake_*.cc. */
export const fakeDriver = built('fake_cuda_driver.so');
export const fakeCublasLt = built('fake_cuda_cublaslt.so');
export const fakeKernels = built('fake_cuda_kernels.so');
/** An NCCL for ranks of one process on such GPUs: comm/testing/fake_nccl.cc. */
export const fakeNccl = built('fake_nccl.so');

interface Pretence {
  /** Of the fake driver and the fake kernels: what they pretend to be. */
  readonly fake?: string;
  readonly poison?: boolean;
  readonly waitsAfterEachOp?: boolean;
  /** Opens the fake kernels too, and the fake cuBLASLt at the first product. */
  readonly kernels?: boolean;
}

/** Runs `body` with a device over the fake driver. */
export async function withFakeGpu(
  { fake = '', poison = false, waitsAfterEachOp = false, kernels = false }: Pretence,
  body: (device: Device) => unknown,
): Promise<void> {
  process.env.LONGSCAN_CUDA_DRIVER = fakeDriver;
  process.env.LONGSCAN_FAKE_CUDA = fake;
  if (kernels) {
    process.env.LONGSCAN_CUDA = fakeKernels;
    process.env.LONGSCAN_CUBLAS ??= fakeCublasLt;
  }
  const device = openCudaDevice({ poison, waitsAfterEachOp, kernels });
  try {
    await body(device);
  } finally {
    device.close();
  }
}

/** What `body` throws. */
export function failureOf(body: () => unknown): LongscanError {
  try {
    body();
  } catch (error) {
    return error as LongscanError;
  }
  throw new Error('nothing was thrown');
}

/** What the promise rejects with. */
export const rejectionOf = (promise: Promise<unknown>): Promise<LongscanError> =>
  promise.then(
    () => {
      throw new Error('nothing was thrown');
    },
    (error) => error as LongscanError,
  );
