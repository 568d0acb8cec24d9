import { LongscanError } from '@longscan/kernels';
import { fakeDriver, fakeKernels } from '@longscan/kernels/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openDevice } from './open-device.js';

// Over a driver whose GPUs are threads (cuda/testing/fake_driver.cc).

process.env.LONGSCAN_CUDA_DRIVER = fakeDriver;
process.env.LONGSCAN_CUDA = fakeKernels;

const gpus = (share: boolean) => ({ kind: 'cuda', share }) as const;
const place = (localRank: number, localWorldSize: number) => ({
  rank: localRank,
  localRank,
  localWorldSize,
  numThreads: 1,
});

function failureOf(body: () => unknown): LongscanError {
  try {
    body();
  } catch (error) {
    if (error instanceof LongscanError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

test('each rank of a host has a GPU of its own', () => {
  process.env.LONGSCAN_FAKE_CUDA = 'devices=3';
  for (const rank of [0, 1, 2]) {
    const device = openDevice(gpus(false), place(rank, 3));
    assert.is(device.kind, 'cuda');
    device.close();
  }
  assert.is(process.env.NCCL_HOSTID, undefined);
});

test('fewer GPUs than ranks ~> the same on every rank, those included that would have one', () => {
  process.env.LONGSCAN_FAKE_CUDA = 'devices=2';
  const failures = [0, 1, 2, 3].map((rank) => failureOf(() => openDevice(gpus(false), place(rank, 4))));
  for (const { exitCode, message } of failures) {
    assert.is(exitCode, 3);
    assert.is(message, failures[0]!.message);
    assert.match(message, /E-CUDA-GPUS.*2 GPUs .* for 4 ranks.*Fix: parallel\.sp x parallel\.dp = 2.*share/);
  }
});

test('ranks that share GPUs take them in turn, each as a host of its own for NCCL', () => {
  process.env.LONGSCAN_FAKE_CUDA = 'devices=2';
  const ids = [0, 1, 2].map((rank) => {
    openDevice(gpus(true), place(rank, 3)).close();
    return process.env.NCCL_HOSTID;
  });
  assert.is(new Set(ids).size, 3);
});

test('ranks that may share GPUs and need not ~> one host for NCCL', () => {
  process.env.LONGSCAN_FAKE_CUDA = 'devices=2';
  delete process.env.NCCL_HOSTID;
  for (const rank of [0, 1]) openDevice(gpus(true), place(rank, 2)).close();
  assert.is(process.env.NCCL_HOSTID, undefined);
});

test('where links are measured ranks do not take turns', () => {
  process.env.LONGSCAN_FAKE_CUDA = 'devices=2';
  openDevice(gpus(true), place(1, 2), { ownGpus: true }).close();
  const { message, exitCode } = failureOf(() => openDevice(gpus(true), place(0, 3), { ownGpus: true }));
  assert.is(exitCode, 3);
  assert.match(
    message,
    /E-CUDA-GPUS.*2 GPUs .* for 3 ranks.*Fix: parallel\.sp x parallel\.dp = 2, since what links cost/,
  );
});

test('no GPU at all ~> what the driver says', () => {
  process.env.LONGSCAN_FAKE_CUDA = 'devices=0';
  const { exitCode, message } = failureOf(() => openDevice(gpus(false), place(0, 1)));
  assert.is(exitCode, 3);
  assert.match(message, /E-CUDA-DEVICE.*CUDA_VISIBLE_DEVICES/);
});

test.run();
