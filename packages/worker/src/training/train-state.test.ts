import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { openCpuDevice } from '@longscan/kernels';
import { randomNormal } from '@longscan/kernels/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { saveCheckpoint } from '../checkpoint/index.js';
import { sampleContext } from '../checkpoint/testing.js';
import { Parameters, type Precision } from '../model/parameters.js';
import { Optimizer } from '../optim/optimizer.js';
import { optimizerSection } from '../protocol/job-spec.js';
import { checkpointContent, restore } from './train-state.js';

const init = { constant: 0 };
const specs = [
  { name: 'embedding', shape: [37, 12], init, isRounded: true },
  { name: 'layers.0.norm', shape: [12], init, block: 0 },
  { name: 'layers.0.q', shape: [12, 12], init, isRounded: true, block: 0 },
];

for (const [saved, resumed] of [
  ['f32', 'bf16'],
  ['bf16', 'bf16'],
  ['bf16', 'f32'],
] as const) {
  test(`a checkpoint of a job in ${saved}, resumed in ${resumed} ~> the same bits of values and moments`, async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'train-state-'));
    const device = openCpuDevice({ poison: true });
    const open = (precision: Precision) => {
      const parameters = new Parameters(device, specs, { precision });
      return { parameters, optimizer: new Optimizer(parameters, optimizerSection.parse({})) };
    };
    try {
      const before = open(saved);
      const values = specs.map(({ shape }, i) => {
        const size = shape.reduce((a, b) => a * b, 1);
        return Float32Array.from(randomNormal(size, i, 2 ** (-40 * i)));
      });
      for (const [i, { name }] of specs.entries()) before.parameters.write(name, values[i]!);
      const { m, v } = before.optimizer.moments;
      for (const [i, moment] of [m, v].entries()) {
        moment.write(Float32Array.from(randomNormal(moment.size, 10 + i)));
      }
      const content = checkpointContent(before.parameters, [before.optimizer.moments], null);
      const checkpoint = await saveCheckpoint(folder, content, sampleContext(3), { keep: 0 });
      const after = open(resumed);
      assert.is((await restore(checkpoint, after.parameters, after.optimizer)).step, 3);
      for (const [i, { name }] of specs.entries()) {
        assert.equal(await after.parameters.valuesOf(name).read(), values[i], name);
      }
      // Where each lies in the flat buffers is the precision's.
      for (const moment of ['m', 'v'] as const) {
        for (const { name } of specs) {
          const [expected, found] = [before, after].map(({ parameters, optimizer }) => {
            const { offset, shape } = parameters.layout().find((place) => place.name === name)!;
            return optimizer.moments[moment].view(shape, offset).read();
          });
          assert.equal(await found!, await expected!, `${name}.${moment}`);
        }
      }
    } finally {
      device.close();
      rmSync(folder, { recursive: true });
    }
  });
}

/** Of bf16 numbers, within half a unit in the last place. */
function expectNearest(found: Float64Array, expected: Float64Array): void {
  for (const [i, value] of expected.entries()) {
    const half = 2 ** (Math.floor(Math.log2(Math.abs(value))) - 8);
    assert.ok(Math.abs(found[i]! - value) <= half, `${value}: ${found[i]}`);
  }
}

for (const [saved, resumed] of [
  ['bf16', 'bf16'],
  ['bf16', 'f32'],
  ['f32', 'bf16'],
] as const) {
  test(`moments in ${saved}, resumed in ${resumed} ~> the same, or the nearest of what can be held`, async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'train-state-'));
    const device = openCpuDevice({ poison: true });
    const open = (moments: 'f32' | 'bf16') => {
      const parameters = new Parameters(device, specs);
      return { parameters, optimizer: new Optimizer(parameters, optimizerSection.parse({ moments })) };
    };
    try {
      const before = open(saved);
      before.parameters.initialise(1);
      const { m, v } = before.optimizer.moments;
      for (const [i, moment] of [m, v].entries()) {
        const values = Float32Array.from(randomNormal(moment.size, 10 + i));
        // Between two bf16 numbers, to the even one down and up; beside the middle.
        values.set([1 + 2 ** -8, 1 + 3 * 2 ** -8, 1 + 2 ** -8 + 2 ** -20, -(1 + 2 ** -8), 0]);
        moment.write(
          saved === 'f32' ? values : Uint16Array.from(new Uint32Array(values.buffer), (x) => x >>> 16),
        );
      }
      const content = checkpointContent(before.parameters, [before.optimizer.moments], null);
      assert.is(content.optimizer.get('embedding.m')!.dtype, saved);
      const context = sampleContext(3);
      const optimizer = { ...context.jobSpec.optimizer, moments: saved };
      const job = { ...context, jobSpec: { ...context.jobSpec, optimizer } };
      const checkpoint = await saveCheckpoint(folder, content, job, { keep: 0 });
      const after = open(resumed);
      const restored = await restore(checkpoint, after.parameters, after.optimizer);
      assert.equal(restored, { step: 3, moments: saved });
      for (const moment of ['m', 'v'] as const) {
        for (const [i, { offset, shape }] of before.parameters.layout().entries()) {
          const [expected, found] = await Promise.all(
            [before, after].map(({ optimizer: { moments } }) =>
              moments[moment].view(shape, offset).readNumbers(),
            ),
          );
          if (saved === 'f32') expectNearest(found!, expected!);
          else assert.equal(found, expected, moment);
          if (saved === 'f32' && i === 0) {
            assert.equal([...found!.subarray(0, 5)], [1, 1 + 2 ** -6, 1 + 2 ** -7, -1, 0]);
          }
        }
      }
    } finally {
      device.close();
      rmSync(folder, { recursive: true });
    }
  });
}

test.run();
