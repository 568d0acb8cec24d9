/**
 * `node cross-entropy.cuda.bench.js`: the loss alone and with both gradients, in bf16, the memory that it takes, and its errors
 * beside f32 throughout, one JSON row each. `scripts/peers/products.py` prints a peer's.
 */
import { openCudaDevice } from '../../device.js';
import { empty, fromArray, type Tensor } from '../../tensor.js';
import { normalOnGpu, timeOnGpu } from '../../testing/bench-on-gpu.js';
import { relativeRms } from '../../testing/compare.js';
import { fill } from '../pointwise/index.js';
import { crossEntropy } from './index.js';

const device = openCudaDevice();
for (const [numTokens, dim, vocab] of [
  [8192, 2048, 32000],
  [32768, 2048, 32000],
] as const) {
  const hidden = normalOnGpu(device, [numTokens, dim]);
  const weight = normalOnGpu(device, [vocab, dim], { deviation: 0.02 });
  const labels = fromArray(
    device,
    Int32Array.from({ length: numTokens }, (_, t) => (7919 * t) % vocab),
    [numTokens],
    'i32',
  );
  const seed = fromArray(device, [1], [1]);
  hidden.requiresGrad = true;
  weight.requiresGrad = true;
  weight.gradient = empty(device, [vocab, dim]);
  const train = (isFinal: boolean) => () =>
    device.scope(() => {
      const { result, tape } = device.record(() =>
        crossEntropy({ hidden, weight, labels }, 1 / numTokens, { isFinal }),
      );
      tape.backward([result], [seed], [hidden]);
    });
  const candidates = {
    loss: () => device.scope(() => void crossEntropy({ hidden, weight, labels }, 1 / numTokens)),
    lossAndGradients: train(false),
    finalLossAndGradients: train(true),
  };
  const peakBytes = (run: () => void): number => {
    const before = device.memory({ resetPeak: true }).inUseBytes;
    run();
    return device.memory().peakBytes - before;
  };
  const times = await timeOnGpu(device, candidates, 10);
  for (const [what, run] of Object.entries(candidates)) {
    const { medianMs, lowMs, highMs } = times[what as keyof typeof candidates];
    const shape = { numTokens, dim, vocab };
    const spreadMs = [lowMs, highMs].map((ms) => Number(ms.toFixed(3)));
    console.log(
      JSON.stringify({
        what,
        shape,
        medianMs: Number(medianMs.toFixed(3)),
        spreadMs,
        peakBytes: peakBytes(run),
      }),
    );
  }
  if (numTokens === 8192) {
    const [found, exact] = [await results(hidden, weight), await results(single(hidden), single(weight))];
    const errors = found.map((values, i) => relativeRms(values, exact[i]!));
    console.log(JSON.stringify({ what: 'relative errors of loss, dHidden, dWeight', errors }));
  }
  weight.gradient.release();
  for (const tensor of [hidden, weight, labels, seed]) tensor.release();

  function single(x: Tensor): Tensor {
    const y = empty(device, x.shape);
    device.native.cast(device.compute.id, x.id, y.id);
    return y;
  }

  /** The loss and both gradients, f32 or bf16 as their tensors are. */
  async function results(hidden: Tensor, weight: Tensor): Promise<Float64Array[]> {
    hidden.requiresGrad = true;
    weight.requiresGrad = true;
    weight.gradient ??= empty(device, weight.shape);
    fill(weight.gradient, 0);
    const { result, tape } = device.record(() =>
      crossEntropy({ hidden, weight, labels }, 1 / numTokens, { isFinal: true }),
    );
    const [dHidden] = tape.backward([result], [seed], [hidden]);
    return [await result.readNumbers(), await dHidden!.readNumbers(), await weight.gradient.readNumbers()];
  }
}
device.close();
