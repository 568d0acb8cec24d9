/**
 * `node rms-norm.bench.js [threads]`: forward and backward beside a plain copy of the same bytes, one JSON row each. The op is
 * bound by memory, so the copy is its ceiling.
 */
import { openCpuDevice } from '../../device.js';
import { empty } from '../../tensor.js';
import { timeRounds } from '../../testing/bench.js';
import { fill } from '../pointwise/index.js';
import './native.js';

const threads = Number(process.argv[2] ?? 1);
const device = openCpuDevice({ threads });
const { native, compute } = device;
const numCalls = 4;

/** A candidate that enqueues a call several times and waits for the last. */
const repeated = (enqueue: () => void) => async () => {
  for (let call = 0; call < numCalls; call++) enqueue();
  await compute.sync();
};

for (const [rows, cols] of [
  [16384, 512],
  [16384, 2048],
] as const) {
  const [x, y, dy, dx] = Array.from({ length: 4 }, () => empty(device, [rows, cols]));
  const [weight, rstd] = [empty(device, [cols]), empty(device, [rows])];
  const blocks = empty(device, [Math.ceil(rows / 64), cols]);
  for (const tensor of [x!, y!, dy!, dx!, weight, rstd, blocks]) fill(tensor, 0.5);
  const times = await timeRounds({
    copy: repeated(() => native.copy(compute.id, x!.id, y!.id)),
    forward: repeated(() =>
      native.rmsNormForward(compute.id, x!.id, null, weight.id, 1e-6, null, y!.id, rstd.id),
    ),
    backward: repeated(() =>
      native.rmsNormBackward(compute.id, dy!.id, x!.id, weight.id, rstd.id, null, dx!.id, blocks.id, null),
    ),
  });
  // Tensors of [rows, cols] that each reads and writes.
  const passes = { copy: 2, forward: 2, backward: 3 };
  const rate = (name: keyof typeof passes, ms: number): number =>
    (passes[name] * numCalls * rows * cols * 4) / ms / 1e6;
  for (const name of ['forward', 'backward'] as const) {
    const { medianMs, lowMs, highMs } = times[name];
    const gigabytes = rate(name, medianMs);
    const copyGigabytes = rate('copy', times.copy.medianMs);
    console.log(
      JSON.stringify({
        bench: 'rms-norm',
        pass: name,
        rows,
        cols,
        threads,
        gigabytesPerSecond: Number(gigabytes.toFixed(1)),
        spread: [Number(rate(name, highMs).toFixed(1)), Number(rate(name, lowMs).toFixed(1))],
        copyGigabytesPerSecond: Number(copyGigabytes.toFixed(1)),
        ratio: Number((gigabytes / copyGigabytes).toFixed(3)),
      }),
    );
  }
  for (const tensor of [x!, y!, dy!, dx!, weight, rstd, blocks]) tensor.release();
}
device.close();
