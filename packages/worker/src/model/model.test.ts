import {
  crossEntropy,
  empty,
  fromArray,
  openCpuDevice,
  openShapeDevice,
  reshape,
  zeros,
} from '@longscan/kernels';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { defineLayer, type Layer } from '../layer.js';
import { jobSpecSchema } from '../protocol/job-spec.js';
import { initialise, type ParameterSpec } from './init.js';
import { sliceContexts } from './layer-context.js';
import { loadLayers } from './load-layers.js';
import { createModel, parameterSpecs } from './model.js';
import { Parameters } from './parameters.js';
import { traceModel } from './trace.js';

function jobOf(model: Record<string, unknown>) {
  const entries = ['gla', 'lightning', 'linear-attention'].map((use) => ({ use, options: {}, file: null }));
  const sizes = { dModel: 64, numLayers: 3, numHeads: 2, vocabSize: 256, mlp: 192, layers: entries };
  return jobSpecSchema.parse({ model: { ...sizes, ...model }, data: { path: 'unused' } });
}

test('trace ~> parameters, bytes and FLOPs of the plan are those of a real step', async () => {
  const spec = jobOf({});
  const [B, T] = [2, 500];
  const trace = await traceModel(spec, { numSequences: B, sliceLength: T });
  const layers = await loadLayers(spec.model);
  const device = openCpuDevice();
  const parameters = new Parameters(device, parameterSpecs(spec.model, layers));
  parameters.initialise(1);
  const moments = [zeros(device, parameters.values.shape), zeros(device, parameters.values.shape)];
  const model = createModel(spec.model, layers, parameters);
  const atRest = device.memory().inUseBytes;
  const tokens = fromArray(device, new Float64Array(B * T), [B, T], 'i32');
  device.flops = 0;
  const { result: loss, tape } = device.record(() =>
    device.scope(() => {
      const hidden = model.forward(tokens, sliceContexts(null, null));
      return crossEntropy({ hidden, weight: model.head, labels: tokens }, 1 / (B * T));
    }),
  );
  const activationBytes = device.memory().inUseBytes - atRest;
  tape.backward([loss], [fromArray(device, [1], [1])]);
  await device.compute.sync();

  assert.is(trace.numParameters, parameters.numParameters);
  assert.is(trace.flopsPerToken, device.flops / (B * T));
  assert.ok(Math.abs(trace.activationBytes / activationBytes - 1) < 0.01);
  assert.equal(
    trace.recurrences.map(({ layer, kind, stateBytes, transitionBytes }) => [
      layer,
      kind,
      stateBytes,
      transitionBytes,
    ]),
    [
      [0, 'diagonal', 4 * B * 2 * 16 * 32, 4 * B * 2 * 16],
      [1, 'fixed-scalar', 4 * B * 2 * 32 * 32, 0],
      [2, 'identity', 4 * B * 2 * 32 * 33, 0],
    ],
  );
  for (const moment of moments) moment.release();
  device.close();
});

test('model ~> an untied head is a parameter of its own, no mlp leaves its parameters out', async () => {
  const names = async (model: Record<string, unknown>) => {
    const spec = jobOf(model).model;
    return parameterSpecs(spec, await loadLayers(spec)).map(({ name }) => name);
  };
  const usual = await names({});
  assert.not(usual.includes('head'));
  assert.ok(usual.includes('layers.2.mlp.down'));
  assert.equal(new Set(usual).size, usual.length);
  assert.ok((await names({ tieEmbeddings: false })).includes('head'));
  assert.not((await names({ mlp: 0 })).some((name) => name.includes('mlp')));
});

/** Plans a model of this one layer, as if it came from a file of the user's. */
function traceOwnLayer(create: Layer['create']): void {
  const paper = 'https://arxiv.org/abs/2312.06635';
  const layer = defineLayer({ name: 'own', paper, transition: 'identity', config: {}, create }) as Layer;
  const layers = [{ layer, config: {}, file: '/somewhere/own.ts' }];
  const spec = jobOf({ numLayers: 1 }).model;
  const device = openShapeDevice();
  const model = createModel(spec, layers, new Parameters(device, parameterSpecs(spec, layers)));
  model.forward(empty(device, [2, 5], 'i32'), sliceContexts(null, null));
}

test('model ~> a layer that declares something else when it is created again is refused', () => {
  let numCalls = 0;
  const declaring = (name: string, size: number): Layer['create'] => {
    return (_config, param) => {
      param.tensor(name, [size], { constant: 0 });
      return (x) => x;
    };
  };
  assert.throws(
    () => traceOwnLayer((...args) => declaring(`w${numCalls++}`, 1)(...args)),
    /^error\[E-PLUGIN\] layer \/somewhere\/own\.ts, parameter layers\.0\.mixer\.w1: a name not declared before/,
  );
  assert.throws(
    () => traceOwnLayer((...args) => declaring('w', numCalls++)(...args)),
    /^error\[E-PLUGIN\] layer \/somewhere\/own\.ts, parameter layers\.0\.mixer\.w: shape \[3\], before \[2\]/,
  );
});

test('model ~> what a layer gives back must have the shape of its input', () => {
  const expected = 'expected one of shape [2, 5, 64], as its input';
  const refusal = (found: string) => (error: Error) =>
    error.message.startsWith(`error[E-PLUGIN] layer /somewhere/own.ts: ${found}, ${expected}`);
  assert.throws(
    () => traceOwnLayer(() => (x) => reshape(x, [10, 64])),
    refusal('an output of shape [10, 64]'),
  );
  assert.throws(() => traceOwnLayer(() => () => 'y' as never), refusal('an output that is no tensor'));
});

test('initial values ~> a function of seed and name, with the deviation that was asked for', async () => {
  const device = openCpuDevice({ poison: true });
  try {
    const spec = { name: 'w', shape: [100, 100], init: { normal: 0.5 } };
    const draw = async (of: ParameterSpec, seed: number) => {
      const tensor = empty(device, of.shape);
      initialise(tensor, of, seed);
      return tensor.read();
    };
    const values = await draw(spec, 1);
    assert.equal(await draw(spec, 1), values);
    assert.not.equal(await draw({ ...spec, name: 'v' }, 1), values);
    assert.not.equal(await draw(spec, 2), values);
    let [sum, squares] = [0, 0];
    for (const value of values) {
      sum += value;
      squares += value * value;
    }
    assert.ok(Math.abs(sum / 1e4) < 0.02, `${sum}`);
    assert.ok(Math.abs(Math.sqrt(squares / 1e4) - 0.5) < 0.01, `${squares}`);
    const constant = await draw({ ...spec, init: { constant: 3 } }, 1);
    assert.equal(constant.slice(0, 2), Float32Array.from([3, 3]));
    const each = { ...spec, init: { each: (i: number, uniform: () => number) => i + uniform() } };
    const drawn = await draw(each, 1);
    assert.ok(drawn.every((value, i) => value >= i && value <= i + 1));
    assert.equal(await draw(each, 1), drawn);
  } finally {
    device.close();
  }
});

test.run();
