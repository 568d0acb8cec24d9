/**
 * `node linear.cuda.bench.js`: the products of `linear` in bf16 at the shapes of a model of 1.36 B parameters, in TFLOP/s, one
 * JSON row each. `scripts/peers/products.py` prints PyTorch's.
 */
import { openCudaDevice } from '../../device.js';
import { empty } from '../../tensor.js';
import { normalOnGpu, timeOnGpu } from '../../testing/bench-on-gpu.js';
import { gemmInfo } from './index.js';

const device = openCudaDevice();
const { native, compute } = device;
console.log(JSON.stringify({ bench: 'linear', ...gemmInfo(device), gpu: device.gpu().name }));

for (const rows of [8192, 32768]) {
  for (const [numOut, numIn] of [
    [2048, 2048],
    [5632, 2048],
    [2048, 5632],
    [32000, 2048],
    [1024, 2048],
  ] as const) {
    const x = normalOnGpu(device, [rows, numIn]);
    const weight = normalOnGpu(device, [numOut, numIn], { deviation: 0.02 });
    const dy = normalOnGpu(device, [rows, numOut]);
    const y = empty(device, [rows, numOut], 'bf16');
    const dx = empty(device, [rows, numIn], 'bf16');
    const dw = normalOnGpu(device, [numOut, numIn], { dtype: 'f32' });
    const inputGradient = (accumulate: boolean) => () =>
      native.linearInputGradient(compute.id, dy.id, weight.id, dx.id, accumulate);
    const weightGradient = (accumulate: boolean) => () =>
      native.linearWeightGradient(compute.id, dy.id, x.id, dw.id, accumulate);
    const times = await timeOnGpu(device, {
      forward: () => native.linearForward(compute.id, x.id, weight.id, null, y.id),
      inputGradient: inputGradient(false),
      inputGradientAdded: inputGradient(true),
      weightGradient: weightGradient(false),
      weightGradientAdded: weightGradient(true),
    });
    const tflops = (ms: number): number => Math.round((2 * rows * numIn * numOut) / ms / 1e9);
    for (const [product, { medianMs, lowMs, highMs }] of Object.entries(times)) {
      const shape = { rows, numOut, numIn };
      const spread = [tflops(highMs), tflops(lowMs)];
      console.log(JSON.stringify({ product, shape, tflops: tflops(medianMs), spread }));
    }
    for (const tensor of [x, weight, dy, y, dx, dw]) tensor.release();
  }
}
device.close();
