import { crossEntropy, type Device, fromArray, openCpuDevice } from '@longscan/kernels';
import { randomSource } from '@longscan/kernels/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { jobSpecSchema } from '../protocol/job-spec.js';
import { CarriedContexts, type ContextSource, sliceContexts } from './layer-context.js';
import { loadLayers } from './load-layers.js';
import { createModel, parameterSpecs } from './model.js';
import { Parameters } from './parameters.js';

const [B, T] = [2, 21];
const modelSizes = { dModel: 16, numLayers: 3, numHeads: 2, vocabSize: 30, mlp: 0 };
/** The first layer's projection of v reaches the loss through its own block and through that of the last layer. */
const sharedWeight = 'layers.0.mixer.v';

async function build(device: Device, recompute: boolean) {
  const layers = ['rwkv7', 'gla', 'rwkv7'].map((use) => ({ use, options: {}, file: null }));
  const spec = jobSpecSchema.parse({ model: { ...modelSizes, recompute, layers }, data: { path: 'unused' } });
  const loaded = await loadLayers(spec.model);
  const parameters = new Parameters(device, parameterSpecs(spec.model, loaded), { dtype: 'f64' });
  parameters.initialise(3);
  // Its own output projections start at zero, where no gradient gets through.
  for (const index of [0, 2]) {
    const weight = parameters.byName.get(`layers.${index}.mixer.o`)!;
    const next = randomSource(index);
    weight.write(Float64Array.from({ length: weight.size }, () => next() - 0.5));
  }
  return { parameters, model: createModel(spec.model, loaded, parameters) };
}

function draw(device: Device, seed: number) {
  const next = randomSource(seed);
  return fromArray(
    device,
    Int32Array.from({ length: B * T }, () => Math.floor(30 * next())),
    [B, T],
    'i32',
  );
}

async function step(recompute: boolean, shiftOfWeight = 0) {
  const device = openCpuDevice({ poison: true });
  const { parameters, model } = await build(device, recompute);
  const weight = parameters.byName.get(sharedWeight)!;
  const values = await weight.readNumbers();
  values[0]! += shiftOfWeight;
  weight.write(values);
  const [tokens, labels] = [draw(device, 1), draw(device, 2)];
  const atRest = device.memory().inUseBytes;
  const { result: loss, tape } = device.record(() =>
    device.scope(() => {
      const hidden = model.forward(tokens, sliceContexts(null, null));
      return crossEntropy({ hidden, weight: model.head, labels }, 1 / (B * T));
    }),
  );
  const seed = fromArray(device, [1], [1], 'f64');
  tape.backward([loss], [seed]);
  const [value] = await loss.readNumbers();
  loss.release();
  seed.release();
  const gradients = await parameters.gradients.readNumbers();
  const [gradient] = await weight.gradient!.readNumbers();
  const leakedBytes = device.memory().inUseBytes - atRest;
  device.close();
  return { loss: value!, gradients, gradient: gradient!, leakedBytes };
}

test('share ~> gradients go back to the layer that made the value, recomputed or not', async () => {
  const [kept, again] = [await step(false), await step(true)];
  assert.equal(again, kept);
  assert.is(kept.leakedBytes, 0);
  const epsilon = 1e-5;
  const slope = ((await step(false, epsilon)).loss - (await step(false, -epsilon)).loss) / (2 * epsilon);
  assert.ok(Math.abs(slope - kept.gradient) < 1e-6 * Math.abs(slope), `${kept.gradient}, expected ${slope}`);
});

test('share ~> a block that throws leaves none behind, on the way or when it is run again', async () => {
  for (const recompute of [false, true]) {
    const device = openCpuDevice({ poison: true });
    const { model } = await build(device, recompute);
    const tokens = draw(device, 1);
    const atRest = device.memory().inUseBytes;
    /** Fails when the last layer's context is asked for so many times. */
    const contextsFailingAt = (place: number): ContextSource => {
      const contexts = sliceContexts(null, null);
      let numAsked = 0;
      return {
        tensors: contexts.tensors,
        forLayer(layer, received) {
          if (layer === 2 && ++numAsked === place) throw new Error('on the way');
          return contexts.forLayer(layer, received);
        },
      };
    };
    const forward = (place: number) => device.scope(() => model.forward(tokens, contextsFailingAt(place)));
    assert.throws(() => forward(1), /on the way/);
    assert.throws(() => device.record(() => forward(1)), /on the way/);
    assert.is(device.memory().inUseBytes, atRest);
    if (recompute) {
      device.scope(() => {
        const { result, tape } = device.record(() => forward(2));
        assert.throws(() => tape.backward([result], [result]), /on the way/);
      });
      assert.is(device.memory().inUseBytes, atRest);
    }
    device.close();
  }
});

test('share ~> token by token, later layers see the value of the same token', async () => {
  const device = openCpuDevice({ poison: true });
  const { model } = await build(device, false);
  const tokens = draw(device, 1);
  const whole = await model.forward(tokens, sliceContexts(null, null)).readNumbers();
  const contexts = new CarriedContexts();
  const ids = await tokens.readNumbers();
  for (let t = 0; t < T; t++) {
    const piece = fromArray(device, [ids[t]!, ids[T + t]!], [B, 1], 'i32');
    const found = await model.forward(piece, contexts).readNumbers();
    for (let b = 0; b < B; b++) {
      for (let i = 0; i < 16; i++) {
        const difference = Math.abs(found[b * 16 + i]! - whole[(b * T + t) * 16 + i]!);
        assert.ok(difference < 1e-10, `row ${b}, token ${t}: ${difference}`);
      }
    }
  }
  device.close();
});

test.run();
