import { type JobSpec, jobSpecSchema } from '@longscan/worker/protocol';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { gradientBucketBytes } from './gradient-buckets.js';

const mib = 2 ** 20;
const nvlink = { latencyS: 10e-6, gapS: 5e-6, bandwidthBytesPerS: 300e9 };

const jobOf = (sections: Readonly<Record<string, unknown>> = {}): JobSpec =>
  jobSpecSchema.parse({
    model: { mlp: 0, layers: [{ use: 'gla', options: {}, file: null }] },
    data: { path: 'unread' },
    device: { kind: 'cuda', engine: 'nccl' },
    ...sections,
  });

const bytesOf = (numRanks: number, links: object = {}, gradientBytes = 5e9, job = jobOf()) =>
  gradientBucketBytes(job, { sp: numRanks, dp: 1, numRanks }, gradientBytes, { ...nvlink, ...links });

test('buckets ~> larger where messages wait longer or links are faster, and with more ranks', () => {
  const plain = bytesOf(2)!;
  assert.ok(plain >= mib && plain < 5e9 / 8);
  assert.ok(bytesOf(2, { latencyS: 80e-6 })! >= 4 * plain);
  assert.ok(bytesOf(2, { bandwidthBytesPerS: 30e9 })! <= plain / 4);
  assert.ok(bytesOf(8)! > plain);
});

test('buckets ~> latency is a fifth of the sum of one at most', () => {
  const bytes = bytesOf(2, { latencyS: 80e-6 })!;
  const seconds = bytes / 300e9;
  assert.ok(2 * 80e-6 <= 0.25 * seconds * (1 + 1e-9), `${bytes} bytes`);
});

test('buckets ~> never so large that only a few are left, nor so small that the host is busy with them', () => {
  assert.is(bytesOf(1024, { latencyS: 1e-3 }), 5e9 / 8);
  assert.is(bytesOf(2, { latencyS: 0 }), mib);
  assert.is(bytesOf(2, {}, 1000), mib);
});

test('buckets ~> what the job says; none on one rank and in deterministic mode', () => {
  const given = jobOf({ parallel: { sp: 2, gradientBucket: '25MiB' } });
  assert.is(bytesOf(2, {}, 5e9, given), 25 * mib);
  assert.is(bytesOf(1, {}, 5e9, given), null);
  assert.is(bytesOf(2, {}, 5e9, jobOf({ parallel: { sp: 2 }, job: { deterministic: true } })), null);
});

test.run();
