import { fill, openCpuDevice } from '@longscan/kernels';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ParameterSpec } from '../model/init.js';
import { Parameters } from '../model/parameters.js';
import { optimizerSection } from '../protocol/job-spec.js';
import { Optimizer } from './optimizer.js';

const one = { constant: 1 };
const decayed: ParameterSpec[] = [
  { name: 'blocks.0.mixer.q', shape: [3, 5], init: one },
  { name: 'blocks.0.mixer.gain', shape: [3], init: one, weightDecay: true },
];
const spared: ParameterSpec[] = [
  { name: 'blocks.0.mixer.a_log', shape: [4], init: one },
  { name: 'blocks.0.mixer.rates', shape: [4, 3], init: one, weightDecay: false },
  { name: 'blocks.0.mixer.norm.weight', shape: [2, 4], init: one },
  { name: 'embedding.weight', shape: [7, 3], init: one },
];

test('optimizer ~> weight decay acts on matrices, on what a layer did not exempt and on names outside noDecay', async () => {
  const device = openCpuDevice();
  const parameters = new Parameters(device, [...decayed, ...spared], { dtype: 'f64' });
  parameters.initialise(1);
  // Without a gradient the decay is all that moves a weight.
  fill(parameters.gradients, 0);
  const optimizer = new Optimizer(parameters, optimizerSection.parse({ weightDecay: 0.5 }));
  optimizer.update(1, 0.1, () => {});
  for (const [specs, expected] of [
    [decayed, 1 - 0.1 * 0.5],
    [spared, 1],
  ] as const) {
    for (const { name } of specs) {
      const values = await parameters.byName.get(name)!.read();
      for (const value of values) assert.ok(Math.abs(value - expected) < 1e-15, `${name}: ${value}`);
    }
  }
  await device.close();
});

test.run();
