import { openCpuDevice } from '@longscan/kernels';
import { expectClose, randomSource, tolerances } from '@longscan/kernels/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadLayers } from '../model/load-layers.js';
import { createModel, parameterSpecs } from '../model/model.js';
import { Parameters } from '../model/parameters.js';
import { jobSpecSchema } from '../protocol/job-spec.js';
import { continueText } from './generate.js';
import { sampler } from './sample.js';

const { model: spec } = jobSpecSchema.parse({
  model: {
    dModel: 16,
    numLayers: 3,
    numHeads: 2,
    vocabSize: 32,
    mlp: 32,
    layers: ['gla', 'lightning', 'linear-attention'].map((use) => ({ use, options: {}, file: null })),
  },
  data: { path: 'unused' },
});

async function openModel() {
  const layers = await loadLayers(spec);
  const device = openCpuDevice();
  const parameters = new Parameters(device, parameterSpecs(spec, layers));
  parameters.initialise(3);
  return { device, model: createModel(spec, layers, parameters) };
}

function prompt(length: number): Uint8Array {
  const next = randomSource(5);
  return Uint8Array.from({ length }, () => Math.floor(32 * next()));
}

test('generate ~> token by token sees the logits of the whole text at once', async () => {
  const { device, model } = await openModel();
  const start = prompt(50);
  const seen: Float64Array[] = [];
  const greedy = sampler(0, 0);
  const note = (logits: Float64Array) => {
    seen.push(logits);
    return greedy(logits);
  };
  const tokens = await continueText(device, model, start, 20, note);
  for (const length of [0, 7, 19]) {
    const whole = Uint8Array.from([...start, ...tokens.slice(0, length)]);
    await continueText(device, model, whole, 1, (logits) => {
      expectClose(`token ${length}`, seen[length]!, logits, tolerances.f32Decay);
      return 0;
    });
  }
  device.close();
});

test('generate ~> memory does not grow with the text, and the prompt is taken in pieces', async () => {
  const { device, model } = await openModel();
  const peak = async (promptLength: number, numTokens: number) => {
    device.memory({ resetPeak: true });
    await continueText(device, model, prompt(promptLength), numTokens, () => 1);
    const { peakBytes, inUseBytes } = device.memory();
    return { peakBytes, inUseBytes };
  };
  for (const [long, short] of [
    [await peak(1, 200), await peak(1, 20)],
    [await peak(3 * 4096, 2), await peak(4096, 2)],
  ] as const) {
    assert.is(long.inUseBytes, short.inUseBytes);
    // Reused blocks may be a size class larger than what was asked for.
    assert.ok(long.peakBytes < 1.02 * short.peakBytes, `${long.peakBytes}, ${short.peakBytes}`);
  }
  device.close();
});

test('sampler ~> temperature 0 takes the likeliest; draws follow the weights and the seed', () => {
  const logits = Float64Array.from([0, Math.log(3), Number.NEGATIVE_INFINITY]);
  assert.is(sampler(0, 1)(logits), 1);
  const choose = sampler(1, 42);
  const counts = [0, 0, 0];
  for (let i = 0; i < 4000; i++) counts[choose(logits)]!++;
  assert.is(counts[2], 0);
  assert.ok(Math.abs(counts[1]! / 4000 - 0.75) < 0.03, `${counts}`);
  const draws = (seed: number) =>
    Array.from(
      { length: 20 },
      (
        (c) => () =>
          c(logits)
      )(sampler(1, seed)),
    );
  assert.equal(draws(7), draws(7));
  assert.not.equal(draws(7), draws(8));
});

test.run();
