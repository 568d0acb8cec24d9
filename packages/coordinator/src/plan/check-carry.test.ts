import { jobSpecSchema } from '@longscan/worker/protocol';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { planJob } from './plan-job.js';

const job = (changes: { data?: object; parallel?: object; layer?: string }) =>
  jobSpecSchema.parse({
    model: {
      ...{ dModel: 32, numLayers: 1, numHeads: 2, mlp: 0, chunk: 16 },
      layers: [{ use: changes.layer ?? 'gla', options: {}, file: null }],
    },
    data: { path: '/text', sequenceLength: 64, batchSize: 2, carry: true, ...changes.data },
    parallel: { sp: 2, ...changes.parallel },
  });

async function refusalOf(changes: Parameters<typeof job>[0]): Promise<string> {
  return planJob(job(changes)).then(
    () => 'planned',
    (error: Error) => error.message,
  );
}

test('carry ~> is planned where a step can hand its memory on', async () => {
  assert.is(await refusalOf({}), 'planned');
});

test('carry ~> padding, replicas and micro-batches are refused with what to change', async () => {
  assert.is(
    await refusalOf({ data: { sequenceLength: 70 } }),
    'error[E-CARRY] data.sequenceLength: 70 tokens with data.carry, which are padded to 96, ' +
      'expected a multiple of parallel.sp x model.chunk = 32. Fix: data.sequenceLength = 96',
  );
  assert.match(await refusalOf({ parallel: { dp: 2 } }), /E-CARRY\] parallel.dp: 2 replicas with data.carry/);
  assert.match(await refusalOf({ data: { accumulate: 2 } }), /E-CARRY\] data.accumulate: 2 micro-batches/);
});

test('carry ~> a layer with softmax attention is refused by its place', async () => {
  const message = await refusalOf({ layer: 'softmax-attention' });
  assert.match(message, /E-CARRY\] data.carry with layer 0: softmax attention/);
});

test.run();
