import { jobSpecSchema } from '@longscan/worker/protocol';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { planJob } from './plan-job.js';

function job(uses: readonly string[], changes: { data?: object; sp?: number } = {}) {
  const layers = uses.map((use) => ({ use, options: {}, file: null }));
  return jobSpecSchema.parse({
    model: {
      ...{ dModel: 32, numLayers: uses.length, numHeads: 2, mlp: 0, chunk: 16, layers },
      objective: 'masked',
    },
    data: { path: '/text', sequenceLength: 64, batchSize: 2, ...changes.data },
    parallel: { sp: changes.sp ?? 2, strategy: 'ring' },
  });
}

async function refusal(uses: readonly string[]): Promise<string> {
  return planJob(job(uses)).then(
    () => 'planned',
    (error: Error) => error.message,
  );
}

test('masked ~> a layer that reads in one direction is refused by name, with what would work', async () => {
  for (const [name, reason] of [
    ['rat', 'attention to the ends of earlier chunks'],
    ['mlstm', 'divided by a normaliser'],
    ['mesanet', 'system of equations'],
    ['slstm', 'gates that read the output before'],
  ] as const) {
    const message = await refusal(['gla', name]);
    const parts = ['error[E-OBJECTIVE] model.objective: "masked" with layer 1', `(${name})`, reason];
    for (const part of [...parts, 'Fix: model.objective = "causal", or another layer in its place: gla']) {
      assert.ok(message.includes(part), `${part} is not in: ${message}`);
    }
  }
});

test('masked ~> the mask is one more embedding, and the head knows nothing of it', async () => {
  const { perRank, notes } = await planJob(job(['gla']));
  assert.is(notes[0], 'masked: 15 % of the tokens are hidden, and found from those on both sides');
  const causal = job(['gla']);
  const { perRank: before } = await planJob({ ...causal, model: { ...causal.model, objective: 'causal' } });
  assert.is(perRank.numParameters, before.numParameters + 32);
});

test('masked ~> without decay one sum of states travels, with decay two runs of two scans, attention fetches all', async () => {
  const bytesOf = async (use: string, data = {}) => {
    const { modelled } = await planJob(job([use], { data }));
    return modelled.find(({ strategy }) => strategy === 'ring')!.bytesSentByRank;
  };
  // Two sequences of two heads, 16 numbers by 17 with the normaliser; a sum, and that of its gradient.
  const state = 4 * 2 * 2 * 16 * 17;
  assert.equal(await bytesOf('linear-attention'), [2 * state, 2 * state]);
  assert.equal(await bytesOf('linear-attention', { sequenceLength: 63 }), [2 * state, 2 * state]);
  // Keys and values of a slice of 32 tokens, and their gradients.
  const keysAndValues = 4 * 2 * 32 * 2 * 32;
  assert.equal(await bytesOf('softmax-attention'), [2 * keysAndValues, 2 * keysAndValues]);
  // GLA: keys of half the width. Each rank sends the state of one run and the gradient of the other.
  const smaller = 4 * 2 * 2 * 16 * 8;
  assert.equal(await bytesOf('gla'), [2 * smaller, 2 * smaller]);
});

test.run();
