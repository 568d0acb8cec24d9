/**
 * `node cross-entropy.bench.js [threads]`: the loss alone (validation) and with both gradients, beside what its one or three
 * matrix products cost when oneDNN is called straight; one JSON row each.
 */
import { openCpuDevice } from '../../device.js';
import { empty, fromArray } from '../../tensor.js';
import { timeRounds } from '../../testing/bench.js';
import { fill } from '../pointwise/index.js';
import { crossEntropy } from './index.js';

const threads = Number(process.argv[2] ?? 1);
const device = openCpuDevice({ threads });
const { native, compute } = device;

for (const [numTokens, dim, vocab] of [
  [8192, 512, 256],
  [512, 512, 32000],
] as const) {
  const hidden = empty(device, [numTokens, dim]);
  const weight = empty(device, [vocab, dim]);
  for (const tensor of [hidden, weight]) {
    fill(tensor, 0.01);
    tensor.requiresGrad = true;
  }
  const labels = fromArray(device, new Int32Array(numTokens).fill(7), [numTokens], 'i32');
  const loss = () => crossEntropy({ hidden, weight, labels }, 1 / numTokens);
  const times = await timeRounds(
    {
      loss: async () => {
        device.scope(() => void loss());
        await compute.sync();
      },
      lossAndGradients: async () => {
        const { tape } = device.record(() => device.scope(() => void loss()));
        await compute.sync();
        tape.clear();
      },
      onednnOne: async () => 1000 * native.gemmProbe(threads, false, true, numTokens, vocab, dim, 1),
      onednnThree: async () =>
        1000 *
        (native.gemmProbe(threads, false, true, numTokens, vocab, dim, 1) +
          native.gemmProbe(threads, false, false, numTokens, dim, vocab, 1) +
          native.gemmProbe(threads, true, false, vocab, dim, numTokens, 1)),
    },
    10,
  );
  for (const [name, floor] of [
    ['loss', 'onednnOne'],
    ['lossAndGradients', 'onednnThree'],
  ] as const) {
    const { medianMs, lowMs, highMs } = times[name];
    console.log(
      JSON.stringify({
        bench: 'cross-entropy',
        what: name,
        numTokens,
        dim,
        vocab,
        threads,
        medianMs: Number(medianMs.toFixed(2)),
        spreadMs: [Number(lowMs.toFixed(2)), Number(highMs.toFixed(2))],
        productsAloneMs: Number(times[floor].medianMs.toFixed(2)),
        ratio: Number((times[floor].medianMs / medianMs).toFixed(3)),
      }),
    );
  }
  for (const tensor of [hidden, weight, labels]) tensor.release();
}
device.close();
