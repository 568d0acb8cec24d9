import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { runRecurrence } from './autograd/run-recurrence.js';
import { openCudaDevice } from './device.js';
import { gatedLinear } from './ops/gated-linear/index.js';
import { empty } from './tensor.js';
import { failureOf, fakeKernels, withFakeGpu } from './testing/fake-gpu.js';

// What a user is told where kernels cannot run, over the fake driver and kernels (cuda/testing).

function refusal(fake: string): Error {
  process.env.LONGSCAN_FAKE_CUDA = fake;
  process.env.LONGSCAN_CUDA = fakeKernels;
  return failureOf(() => openCudaDevice({ poison: false }));
}

test('another architecture: what the kernels are built for, what the GPU is, and how to build for it', () =>
  withFakeGpu({}, () =>
    assert.match(
      refusal('probe=209').message,
      /E-CUDA-DEVICE.*built for sm_80, sm_90 and do not run on Fake GPU, sm_90.*Fix: build them for it: scripts\/cuda\/build\.sh/,
    ),
  ));

test('a context in which a kernel has failed: that it has, and not that the architecture is another', () =>
  withFakeGpu({}, () => {
    const error = refusal('probe=716');
    assert.match(
      error.message,
      /E-CUDA\W.*cannot be opened on Fake GPU: misaligned address \(716\).*earlier work.*Fix: end the process.*LONGSCAN_SYNC=1/,
    );
    assert.not.match(error.message, /built for|build\.sh/);
  }));

test('a driver older than the kernels: both versions', () =>
  withFakeGpu({}, () =>
    assert.match(
      refusal('toolkit=14010').message,
      /E-CUDA-DRIVER.*the driver is of CUDA 13\.0, the kernels were built with CUDA 14\.1.*Fix/,
    ),
  ));

function forward(K: number, V: number) {
  return (device: Parameters<Parameters<typeof withFakeGpu>[1]>[0]) => {
    const [B, T, H] = [1, 8, 2];
    const inputs = {
      q: empty(device, [B, T, H, K], 'bf16'),
      k: empty(device, [B, T, H, K], 'bf16'),
      v: empty(device, [B, T, H, V], 'bf16'),
      g: empty(device, [B, T, H]),
    };
    device.scope(() => runRecurrence(gatedLinear('scalar'), inputs, { resets: null, h0: null }));
  };
}

test('head sizes without a kernel: which they are, and which there are', () =>
  withFakeGpu({ kernels: true }, (device) => {
    forward(64, 512)(device);
    const pattern =
      /E-CUDA-KERNEL.*K = 264, V = 64, T = 8, only for K a multiple of 8 up to 256, V .*up to 512.*Fix/;
    assert.match(failureOf(() => forward(264, 64)(device)).message, pattern);
    assert.match(failureOf(() => forward(12, 64)(device)).message, /E-CUDA-KERNEL.*K = 12/);
  }));

test('no memory: what was asked for, used and free, and settings that need less', () =>
  withFakeGpu({ fake: 'bytes=100000' }, (device) => {
    empty(device, [10_000]);
    const error = failureOf(() => empty(device, [50_000]));
    assert.is(error.code, 'E-MEMORY');
    const told =
      /(\d+) bytes asked for, (\d+) bytes in use, (\d+) bytes of 100000 bytes free on GPU 0 \(Fake GPU\).*parallel\.sp.*recompute/;
    const [, asked, used, free] = told.exec(error.message)!.map(Number);
    assert.ok(asked! >= 200_000 && used! >= 40_000 && used! + free! === 100_000, error.message);
  }));

test.run();
