/**
 * `node linear.bench.js [threads]`: the three products of `linear` beside oneDNN called straight with as many threads,
 * one JSON row each. Goal: 80 % of oneDNN's own speed.
 */
import { openCpuDevice } from '../../device.js';
import { empty } from '../../tensor.js';
import { timeRounds } from '../../testing/bench.js';
import { fill } from '../pointwise/index.js';
import { gemmInfo } from './index.js';

interface Product {
  readonly enqueue: () => void;
  /** transA, transB, m, n, k */
  readonly probe: readonly [boolean, boolean, number, number, number];
}

const threads = Number(process.argv[2] ?? 1);
const device = openCpuDevice({ threads });
const { native, compute } = device;
console.log(JSON.stringify({ bench: 'linear', ...gemmInfo(device), cpu: native.cpuInfo().name }));

for (const [rows, numIn, numOut] of [
  [8192, 256, 256],
  [8192, 512, 512],
  [8192, 512, 1408],
  [8192, 1408, 512],
  [2048, 2048, 2048],
] as const) {
  const x = empty(device, [rows, numIn]);
  const weight = empty(device, [numOut, numIn]);
  const y = empty(device, [rows, numOut]);
  for (const tensor of [x, weight, y]) fill(tensor, 0.5);
  const flops = 2 * rows * numIn * numOut;
  const numCalls = Math.max(1, Math.round(1e9 / flops));
  const products: Record<string, Product> = {
    forward: {
      enqueue: () => native.linearForward(compute.id, x.id, weight.id, null, y.id),
      probe: [false, true, rows, numOut, numIn],
    },
    inputGradient: {
      enqueue: () => native.linearInputGradient(compute.id, y.id, weight.id, x.id, false),
      probe: [false, false, rows, numIn, numOut],
    },
    weightGradient: {
      enqueue: () => native.linearWeightGradient(compute.id, y.id, x.id, weight.id, false),
      probe: [true, false, numOut, numIn, rows],
    },
  };
  for (const [name, { enqueue, probe }] of Object.entries(products)) {
    const { op, onednn } = await timeRounds({
      op: async () => {
        for (let call = 0; call < numCalls; call++) enqueue();
        await compute.sync();
      },
      onednn: async () => 1000 * native.gemmProbe(threads, ...probe, numCalls),
    });
    const gflops = (ms: number): number => Math.round((flops * numCalls) / ms / 1e6);
    console.log(
      JSON.stringify({
        product: name,
        shape: { rows, numIn, numOut },
        gflops: gflops(op.medianMs),
        spread: [gflops(op.highMs), gflops(op.lowMs)],
        onednnGflops: gflops(onednn.medianMs),
        onednnSpread: [gflops(onednn.highMs), gflops(onednn.lowMs)],
        ratio: Number((onednn.medianMs / op.medianMs).toFixed(3)),
      }),
    );
  }
  for (const tensor of [x, weight, y]) tensor.release();
}
device.close();
