import { test } from 'uvu';
import { openCpuDevice } from '../../device.js';
import { empty, fromArray, zeros } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import { expectSameBits, randomNormal } from '../../testing/index.js';
import { joinHalves, splitHalves } from '../halves/index.js';
import { adamw } from './index.js';
import { checkStoredBits, rounding, trainRounded } from './moments.js';

for (const size of [1, 5, 1003]) {
  testOnGpu(`moments in bf16, ${size} ~> stored as the definition says`, (device) =>
    checkStoredBits(device, size),
  );
}

testOnGpu('moments in bf16 ~> the bits of a CPU, whole and in parts', async (device) => {
  const size = 40_001;
  const cpu = openCpuDevice({ threads: 2, poison: true });
  try {
    const expected = await trainRounded(cpu, size, 5);
    // From the fourth element on packs are aligned with blocks of random numbers, elsewhere not.
    for (const cuts of [
      [0, size],
      [0, 3, 16, 1003, 1004, 30_000, size],
    ]) {
      expectSameBits(`cut at ${cuts}`, await trainRounded(device, size, 5, cuts), expected);
    }
  } finally {
    cpu.close();
  }
});

testOnGpu('moments in bf16 ~> the same bits of a parameter in halves', async (device) => {
  const size = 70_003;
  const aligned = { ...rounding, firstElement: 64 };
  const train = async (inHalves: boolean) => {
    const whole = fromArray(device, randomNormal(size, 1), [size]);
    const halves = { high: empty(device, [size], 'bf16'), low: empty(device, [size], 'bf16') };
    splitHalves(whole, halves);
    const [m, v] = [zeros(device, [size], 'bf16'), zeros(device, [size], 'bf16')];
    const clip = fromArray(device, [0.5, 1, 1], [3], 'f64');
    for (let step = 1; step <= 4; step++) {
      const gradient = fromArray(device, randomNormal(size, 10 + step), [size]);
      const options = { learningRate: 0.01, beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0.1 };
      const parameter = inHalves ? halves : whole;
      adamw({ parameter, gradient, m, v, clip }, { ...options, step, rounding: aligned });
    }
    return Promise.all([inHalves ? joinHalves(halves) : whole, m, v].map((tensor) => tensor.read()));
  };
  expectSameBits('in halves', await train(true), await train(false));
});

test.run();
