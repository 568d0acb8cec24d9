import { testOnGpu } from '@longscan/worker/testing/gpu';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Workshop } from './small-job.js';

// A GPU host has no oneDNN.
process.env.LONGSCAN_GEMM ??= 'builtin';

const workshop = new Workshop();
test.after(() => workshop.remove());

/** A recurrence whose tokens have no order, one that runs in both directions, and attention; no boundaries of documents. */
const job = {
  'model.objective': 'masked',
  'model.layers': ['linear-attention', 'gla', 'softmax-attention'],
  'data.maskRate': 0.3,
  'job.steps': 12,
};

testOnGpu('masked ~> the losses of the CPU, in f32 and nearly in bf16', async () => {
  const lossesOf = async (name: string, device: Readonly<Record<string, unknown>>) =>
    (await workshop.train(name, { ...job, ...device })).steps.map(({ loss }) => loss!);
  const expected = await lossesOf('cpu', { 'device.threads': 2 });
  for (const [precision, tolerance] of [
    ['f32', 1e-4],
    ['bf16', 1e-2],
  ] as const) {
    const found = await lossesOf(precision, { 'device.kind': 'cuda', 'model.precision': precision });
    const worst = Math.max(...expected.map((loss, i) => Math.abs(found[i]! / loss - 1)));
    assert.ok(worst < tolerance, `${precision}: losses differ by ${worst}, relative`);
  }
});

test.run();
