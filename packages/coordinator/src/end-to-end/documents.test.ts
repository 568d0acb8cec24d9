import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { StandingRanks } from '../testing/standing-ranks.js';
import { bytesOf, Workshop } from './small-job.js';

const workshop = new Workshop(new StandingRanks());
test.after(() => workshop.remove());

/** Documents of 1 to 1500 bytes. */
const texts = Array.from(
  { length: 60 },
  (_, i) => `${i}: the white whale. `.repeat((7 * i) % 80).slice(i % 5) || 'x',
);
writeFileSync(join(workshop.dir, 'texts.jsonl'), texts.map((text) => JSON.stringify({ text })).join('\n'));

const job = {
  'model.layers': ['gla', 'gated-deltanet', 'softmax-attention'],
  'model.layer.gated-deltanet': { expandK: 1 },
  'data.path': 'texts.jsonl',
  'data.format': 'jsonl',
  'data.packing': true,
  'data.sequenceLength': 350,
  'data.batchSize': 4,
  'job.steps': 6,
};

/** A safetensors file: its names and shapes as JSON, and all f32 values behind it. */
function tensorsOf(checkpoint: string, file: 'parameters' | 'optimizer') {
  const bytes = bytesOf(checkpoint, file);
  const dataStart = 8 + Number(bytes.readBigUInt64LE());
  const values = new Float32Array(Uint8Array.from(bytes.subarray(dataStart)).buffer);
  return { header: bytes.toString('utf8', 8, dataStart), values };
}

type Trained = Awaited<ReturnType<Workshop['train']>>;

function expectSame(found: Trained, expected: Trained, name: string): void {
  for (const row of found.steps) {
    const { loss, tokens } = expected.steps[row.step - 1]!;
    assert.ok(Math.abs(row.loss! / loss! - 1) < 1e-4, `${name} step ${row.step}: ${row.loss}, not ${loss}`);
    assert.is(row.tokens, tokens);
  }
  const [loss, wanted] = [found.result.validationLoss!, expected.result.validationLoss!];
  assert.ok(Math.abs(loss / wanted - 1) < 1e-3, `${name} validation: ${loss}, not ${wanted}`);
}

test('packed documents, micro-batches, sharded optimizer ~> the losses of one rank, whatever it is cut into', async () => {
  const single = await workshop.train('packed', job);
  assert.ok(single.steps[0]!.tokens < 4 * 350, 'last tokens of documents have no label');
  const cut = { ...job, 'parallel.sp': 2, 'parallel.dp': 2, 'data.accumulate': 2, 'parallel.zero': 1 };
  expectSame(await workshop.train('packed-cut', cut), single, 'dp x sp, accumulated, sharded');
});

test('documents that are not packed ~> sequences of different lengths, the same on every mesh', async () => {
  const unpacked = { ...job, 'data.packing': false, 'data.sequenceLength': 500 };
  const single = await workshop.train('rows', unpacked);
  assert.ok(new Set(single.steps.map(({ tokens }) => tokens)).size > 1);
  expectSame(
    await workshop.train('rows-cut', { ...unpacked, 'parallel.sp': 2, 'parallel.dp': 2 }),
    single,
    'dp x sp',
  );
});

test('a sharded optimizer ~> its checkpoints are those of any other, whoever goes on from them', async () => {
  const start = { ...job, 'job.steps': 6, 'checkpoint.every': 3, 'parallel.sp': 2 };
  const whole = await workshop.train('whole', start);
  const sharded = await workshop.train('sharded', { ...start, 'parallel.zero': 1 });
  for (const file of ['parameters', 'optimizer'] as const) {
    const [found, expected] = [sharded, whole].map(({ result }) => tensorsOf(result.checkpoint!, file));
    assert.is(found!.header, expected!.header);
    const largest = expected!.values.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
    const isNear = found!.values.every((value, i) => Math.abs(value - expected!.values[i]!) < 1e-3 * largest);
    assert.ok(isNear, file);
  }
  const on = { ...start, 'parallel.zero': 1, 'parallel.dp': 2 };
  expectSame(await workshop.branch('to-zero', whole, 3, on), whole, '0 to 1');
  const back = { ...start, 'parallel.sp': 1 };
  expectSame(await workshop.branch('from-zero', sharded, 3, back), whole, '1 to 0');
});

test.run();
