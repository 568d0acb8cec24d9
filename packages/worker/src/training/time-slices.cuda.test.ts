import type { Device } from '@longscan/kernels';
import { expectClose, randomSource, relativeRms } from '@longscan/kernels/testing';
import { testOnGpu } from '@longscan/kernels/testing/gpu';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { importUnits } from '../conformance/unit-files.js';
import type { Batch } from '../data/index.js';
import type { Layer } from '../layer.js';
import { loadLayers } from '../model/load-layers.js';
import { createModel, parameterSpecs } from '../model/model.js';
import { Parameters } from '../model/parameters.js';
import { Optimizer } from '../optim/optimizer.js';
import { type JobSpec, jobSpecSchema } from '../protocol/job-spec.js';
import { numExtra, trainStep } from './train-step.js';
import type { Training } from './training.js';

// Every layer in a model on a GPU, slice by slice in time: what it gives in whole sequences.

// A GPU host has no oneDNN.
process.env.LONGSCAN_GEMM ??= 'builtin';

const layers = await importUnits<Layer>(new URL('../layers/', import.meta.url));
/** Layers with softmax attention, whose memory grows with the sequence. */
const refused: readonly string[] = ['softmax-attention', 'rat'];
const [vocabSize, numTokens] = [96, 200];
/** No multiple of a chunk, and a short one at the end. */
const timeSlice = 72;
/** Of each gradient in f32 to that of whole sequences; of all together in bf16. */
const [f32Tolerance, bf16Tolerance] = [2e-3, 0.05];

interface StepOptions {
  readonly use: string;
  readonly precision: 'f32' | 'bf16';
  readonly timeSlice: number;
  readonly keptMlps?: number;
  readonly length?: number;
}

function specOf({ use, precision, timeSlice, keptMlps = 0 }: StepOptions): JobSpec {
  const options = use === 'rebased' ? { normalizerEps: 1 } : {}; // see layers.cuda.test.ts
  const layers = [0, 1].map(() => ({ use, options, file: null }));
  const sizes = { dModel: 128, numLayers: 2, numHeads: 2, vocabSize, mlp: 128 };
  return jobSpecSchema.parse({
    model: { ...sizes, layers, precision, timeSlice, keptMlps },
    data: { path: 'unused' },
  });
}

async function openOn(device: Device, spec: JobSpec): Promise<Training> {
  const loaded = await loadLayers(spec.model);
  const { precision } = spec.model;
  const parameters = new Parameters(device, parameterSpecs(spec.model, loaded), { numExtra, precision });
  parameters.initialise(7);
  return {
    ...{ device, parameters, sequence: null, carry: null, graphs: null },
    model: createModel(spec.model, loaded, parameters),
    optimizer: new Optimizer(parameters, spec.optimizer),
    mesh: { sp: null, world: null, close() {} },
  };
}

/** Two sequences of packed documents. */
function randomBatch(length: number): Batch {
  const next = randomSource(3);
  const draw = (below: number) => Int32Array.from({ length: 2 * length }, () => Math.floor(below * next()));
  return {
    ...{ numSequences: 2, sliceLength: length, numValidTokens: 2 * length },
    ...{ tokens: draw(vocabSize), labels: draw(vocabSize) },
    resets: draw(50).map((drawn) => Number(drawn === 0)),
    openTokens: new Int32Array(2),
  };
}

/** Loss and gradients by parameter of a step, and the most memory that it had beside what was there before. */
async function stepOn(device: Device, options: StepOptions) {
  const training = await openOn(device, specOf(options));
  const { parameters } = training;
  await device.compute.sync();
  const { inUseBytes } = device.memory({ resetPeak: true });
  const batch = randomBatch(options.length ?? numTokens);
  const { loss } = await trainStep(training, [batch], 1, 0, { stop: false, save: false });
  const stepBytes = device.memory().peakBytes - inUseBytes;
  const gradients = new Map<string, Float64Array>();
  for (const [name, { gradient }] of parameters.byName) gradients.set(name, await gradient!.readNumbers());
  return { loss, gradients, stepBytes };
}

async function checkLayer(device: Device, use: string): Promise<void> {
  for (const precision of ['f32', 'bf16'] as const) {
    const whole = await stepOn(device, { use, precision, timeSlice: 0 });
    const sliced = await stepOn(device, { use, precision, timeSlice });
    const lossError = Math.abs(sliced.loss / whole.loss - 1);
    assert.ok(lossError < (precision === 'f32' ? 1e-5 : 1e-3), `${precision}: loss off by ${lossError}`);
    if (precision === 'f32') {
      for (const [name, expected] of whole.gradients) {
        expectClose(`${name}, f32`, sliced.gradients.get(name)!, expected, f32Tolerance);
      }
    } else {
      const all = ({ gradients }: typeof whole) =>
        Float64Array.from([...whole.gradients.keys()].flatMap((name) => [...gradients.get(name)!]));
      const error = relativeRms(all(sliced), all(whole));
      assert.ok(error < bf16Tolerance, `bf16: gradients differ by ${error}, relative`);
    }
    const kept = await stepOn(device, { use, precision, timeSlice, keptMlps: 1 });
    assert.is(kept.loss, sliced.loss);
    assert.equal(kept.gradients, sliced.gradients, `${precision}: an MLP's output kept`);
  }
}

for (const name of [...layers.keys()].filter((name) => !refused.includes(name)).sort()) {
  testOnGpu(
    `${name} ~> time slices on the GPU have the loss and the gradients of whole sequences`,
    (device) => checkLayer(device, name),
  );
}

testOnGpu('time slices ~> a longer sequence takes little more memory on the GPU', async (device) => {
  const options = { use: 'gla', precision: 'bf16', timeSlice: 512 } as const;
  const short = await stepOn(device, { ...options, length: 2048 });
  const long = await stepOn(device, { ...options, length: 8192 });
  // States of 12 more borders: two layers of two heads in two sequences, f32.
  const whole = await stepOn(device, { ...options, timeSlice: 0, length: 8192 });
  const growth = long.stepBytes - short.stepBytes;
  const ofBorders = 12 * (2 * 2 * 2 * 32 * 64 * 4);
  assert.ok(growth < 1.1 * ofBorders, `${growth} bytes more, of ${ofBorders} in states`);
  assert.ok(whole.stepBytes > 4 * long.stepBytes, `${whole.stepBytes} in whole, ${long.stepBytes} in slices`);
});

test.run();
