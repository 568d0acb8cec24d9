import { type Clip, type Device, type HostArray, readClip } from '@longscan/kernels';
import { randomNormal } from '@longscan/kernels/testing';
import { testOnGpu } from '@longscan/kernels/testing/gpu';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ParameterSpec } from '../model/init.js';
import { Parameters, type Precision } from '../model/parameters.js';
import { optimizerSection } from '../protocol/job-spec.js';
import { Optimizer } from './optimizer.js';

// Without clipping a GPU takes the norm beside the update: of several slots, each in parts of its own.

const init = { normal: 1 };
const specs: ParameterSpec[] = [
  { name: 'embedding.weight', shape: [41, 12], init, isRounded: true },
  { name: 'blocks.0.mixer.q', shape: [64, 33], init, isRounded: true, block: 0 },
  { name: 'blocks.0.mixer.norm.weight', shape: [5], init, block: 0 },
  { name: 'blocks.1.mixer.q', shape: [64, 33], init, isRounded: true, block: 1 },
  { name: 'blocks.1.mixer.rates', shape: [1030], init, block: 1 },
  { name: 'norm.weight', shape: [12], init, block: 2 },
];

interface Held {
  readonly precision: Precision;
  readonly moments: 'f32' | 'bf16';
  readonly numShards: number;
}

/** An optimizer of the last shard. */
function open(device: Device, { precision, moments, numShards }: Held, clipNorm: number): Optimized {
  const parameters = new Parameters(device, specs, { precision, numShards });
  parameters.initialise(1);
  const shard = { index: numShards - 1, count: numShards };
  const optimizer = new Optimizer(parameters, optimizerSection.parse({ moments, clipNorm }), { shard });
  return { parameters, optimizer };
}

interface Optimized {
  readonly parameters: Parameters;
  readonly optimizer: Optimizer;
}

/** A step from normal gradients, of which the one at `infinite` in the flat buffers is replaced. */
function update({ parameters, optimizer }: Optimized, step: number, infinite?: number): Promise<Clip> {
  // They read the gradients, too.
  parameters.awaitUpdates();
  for (const [i, { gradient }] of [...parameters.byName.values()].entries()) {
    gradient!.write(Float32Array.from(randomNormal(gradient!.size, 10 * step + i)));
  }
  if (infinite !== undefined) {
    parameters.gradients.view([1], infinite).write(Float32Array.of(Number.POSITIVE_INFINITY));
  }
  return readClip(
    optimizer.update(step, 1e-2, () => {}),
    optimizer.stream,
  );
}

/** All values, and the shard's moments. */
async function stateOf({ parameters, optimizer }: Optimized): Promise<HostArray[]> {
  parameters.awaitUpdates();
  const { m, v } = optimizer.moments;
  const values = specs.map(({ name }) => parameters.valuesOf(name));
  return Promise.all([...values, m, v].map((tensor) => tensor.read()));
}

for (const precision of ['f32', 'bf16'] as const) {
  for (const moments of ['f32', 'bf16'] as const) {
    for (const numShards of [1, 2]) {
      const held = { precision, moments, numShards };
      const name = `optimizer, a model in ${precision}, moments in ${moments}, a shard of ${numShards}`;

      testOnGpu(`${name} ~> the norm and the bits of a norm taken before the update`, async (device) => {
        const [beside, before] = [open(device, held, 0), open(device, held, 1e9)];
        for (let step = 1; step <= 3; step++) {
          const [found, expected] = [await update(beside, step), await update(before, step)];
          assert.ok(found.isFinite && expected.isFinite && expected.factor === 1);
          const ratio = found.norm / expected.norm;
          assert.ok(Math.abs(ratio - 1) < 1e-13, `step ${step}: ${found.norm}, ${ratio} of what is expected`);
        }
        assert.equal(await stateOf(beside), await stateOf(before));
      });

      testOnGpu(
        `${name} ~> sees any gradient that is not finite, and changes nothing after`,
        async (device) => {
          const { length } = open(device, held, 0).optimizer.ranges();
          assert.ok(length > 1, 'the shard has several slots');
          for (let i = 0; i < length; i++) {
            const training = open(device, held, 0);
            const range = training.optimizer.ranges()[i]!;
            assert.ok((await update(training, 1)).isFinite);
            const initial = await stateOf(training);
            const bad = await update(training, 2, range.start + range.length - 1);
            assert.ok(!bad.isFinite && bad.norm === Number.POSITIVE_INFINITY, range.spec.name);
            const last = await stateOf(training);
            assert.not.equal(last, initial, 'what is finite of it is applied');
            assert.ok(!(await update(training, 3)).isFinite);
            assert.equal(await stateOf(training), last);
          }
        },
      );
    }
  }
}

test.run();
