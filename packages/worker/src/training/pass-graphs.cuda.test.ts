import type { Device } from '@longscan/kernels';
import { randomSource } from '@longscan/kernels/testing';
import { testOnGpu } from '@longscan/kernels/testing/gpu';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Batch } from '../data/index.js';
import { type JobSpec, jobSpecSchema } from '../protocol/job-spec.js';
import { plainPlan } from '../testing/plain-plan.js';
import { assembleTraining, loadUnits } from './assemble-training.js';
import { PassGraphs } from './pass-graphs.js';
import { type StepResult, trainStep } from './train-step.js';
import type { Training } from './training.js';

// Steps whose passes are graphs, beside steps whose kernels are launched one by one: the same bits.

// A GPU host has no oneDNN.
process.env.LONGSCAN_GEMM ??= 'builtin';

const numTokens = 192;
const numSteps = 20;

interface Case {
  readonly layers: readonly string[];
  readonly model: Readonly<Record<string, unknown>>;
  readonly optimizer?: Readonly<Record<string, unknown>>;
  readonly accumulate?: number;
  /** Documents begin at other places in every step. */
  readonly packed?: boolean;
}

const cases: Readonly<Record<string, Case>> = {
  'gated layers in f32': { layers: ['gla', 'lightning'], model: {} },
  'gated layers in bf16': { layers: ['gla', 'lightning'], model: { precision: 'bf16' } },
  'micro-batches and a head of its own': {
    layers: ['linear-attention'],
    model: { precision: 'bf16', tieEmbeddings: false },
    accumulate: 3,
  },
  documents: { layers: ['deltanet', 'mamba2'], model: { precision: 'bf16' }, packed: true },
  attention: { layers: ['softmax-attention', 'gated-deltanet'], model: { precision: 'bf16' } },
  'the masked objective': { layers: ['gla'], model: { precision: 'bf16', objective: 'masked' } },
  'blocks computed again': { layers: ['gla'], model: { precision: 'bf16', recompute: true } },
  'one block of two computed again': {
    layers: ['gla'],
    model: { precision: 'bf16', recompute: true, recomputedBlocks: 1 },
  },
  'cheap outputs computed again': { layers: ['gla'], model: { precision: 'bf16', recompute: 'cheap' } },
};

function specOf({ layers, model, optimizer }: Case): JobSpec {
  const sizes = { dModel: 128, numLayers: 2, numHeads: 2, vocabSize: 96, mlp: 128 };
  const entries = [0, 1].map((i) => ({ use: layers[i % layers.length]!, options: {}, file: null }));
  return jobSpecSchema.parse({
    model: { ...sizes, ...model, layers: entries },
    data: { path: 'unused', sequenceLength: numTokens, batchSize: 2 },
    optimizer: { warmupSteps: 0, ...optimizer },
  });
}

async function openOn(device: Device, spec: JobSpec): Promise<Training> {
  const plan = plainPlan(spec);
  const mesh = { sp: null, world: null, close() {} };
  const training = assembleTraining(device, mesh, plan, await loadUnits(plan), 0);
  training.parameters.initialise(7);
  return training;
}

/** The micro-batches of a step: other tokens each time. */
function batchesOf(step: number, { accumulate = 1, packed = false }: Case): Batch[] {
  const next = randomSource(step);
  const below = (bound: number) => Math.floor(bound * next());
  const shape = 2 * numTokens;
  return Array.from({ length: accumulate }, () => {
    const tokens = Int32Array.from({ length: shape }, () => below(96));
    const labels = Int32Array.from({ length: shape }, () => below(96));
    const resets = packed ? Int32Array.from({ length: shape }, () => Number(below(40) === 0)) : null;
    const openTokens = packed ? new Int32Array(2) : null;
    // As where documents end at other places.
    if (packed) for (let i = 0; i < step; i++) labels[below(shape)] = -1;
    const numValidTokens = accumulate * labels.filter((label) => label !== -1).length;
    return { numSequences: 2, sliceLength: numTokens, tokens, labels, numValidTokens, resets, openTokens };
  });
}

/** As a trainer goes: two steps are under way. */
async function train(
  training: Training,
  one: Case,
  learningRate = 1e-2,
  lastStep = numSteps,
): Promise<StepResult[]> {
  const results: StepResult[] = [];
  const underWay: Promise<StepResult>[] = [];
  for (let step = 1; step <= lastStep; step++) {
    underWay.push(
      trainStep(training, batchesOf(step, one), step, learningRate, { stop: false, save: false }),
    );
    if (underWay.length === 2) results.push(await underWay.shift()!);
  }
  for (const result of underWay) results.push(await result);
  return results;
}

/** Compares the bits of all parameters, after the updates under way: NaN equals nothing. */
async function expectSameWeights(found: Training, expected: Training): Promise<void> {
  for (const { parameters } of [found, expected]) parameters.awaitUpdates();
  for (const { name } of expected.parameters.specs) {
    const [bits, expectedBits] = [await bitsOf(found, name), await bitsOf(expected, name)];
    assert.ok(bits.equals(expectedBits), `${name} has other bits`);
  }
}

async function bitsOf({ parameters }: Training, name: string): Promise<Buffer> {
  const values = parameters.valuesOf(name);
  const { buffer, byteOffset, byteLength } = await values.read();
  values.release();
  return Buffer.from(buffer, byteOffset, byteLength);
}

// Not an assertion, which a rehearsal would take for one of numbers.
const refuse = (line: string): void => {
  throw new Error(line);
};

for (const [name, one] of Object.entries(cases)) {
  testOnGpu(
    `${name}: losses and norms of steps as graphs are those of plain steps, bit for bit`,
    async (device) => {
      const plain = await openOn(device, specOf(one));
      const expected = await train(plain, one);
      const other = await openOn(device, specOf(one));
      const graphs = new PassGraphs(other, refuse);
      const found = await train({ ...other, graphs }, one);
      assert.equal(
        found.map(({ loss, clip }) => [loss, clip.norm]),
        expected.map(({ loss, clip }) => [loss, clip.norm]),
      );
      assert.ok(expected.every(({ loss }) => Number.isFinite(loss)));
      await expectSameWeights(other, plain);
      graphs.release();
    },
  );
}

/** Which block serves a small tensor, up to a quarter larger, depends on what other streams had done by then: some hundred bytes. */
function assertNear(bytes: number, expected: number): void {
  assert.ok(Math.abs(bytes - expected) < expected / 1000, `${bytes} bytes, expected about ${expected}`);
}

testOnGpu('steps as graphs take no more memory with every step, and give it back', async (device) => {
  const one = cases['gated layers in bf16']!;
  const training = await openOn(device, specOf(one));
  await train(training, one);
  const before = device.memory();
  const graphs = new PassGraphs(training, refuse);
  await train({ ...training, graphs }, one);
  const during = device.memory();
  assert.ok(during.inUseBytes > before.inUseBytes);
  await train({ ...training, graphs }, one);
  const after = device.memory();
  assert.is(after.numTensors, during.numTensors);
  assertNear(after.inUseBytes, during.inUseBytes);
  assert.is(after.reservedBytes, during.reservedBytes);
  graphs.release();
  assertNear(device.memory().inUseBytes, before.inUseBytes);
  assert.is(device.memory().numTensors, before.numTensors);
});

for (const clipNorm of [1, 0]) {
  testOnGpu(
    `clipNorm ${clipNorm}: after a step that diverges, steps as graphs change nothing`,
    async (device) => {
      const one = { ...cases['gated layers in bf16']!, optimizer: { clipNorm } };
      const training = await openOn(device, specOf(one));
      const graphs = new PassGraphs(training, refuse);
      const results = await train({ ...training, graphs }, one, 1e30);
      const first = results.findIndex(({ loss, clip }) => !Number.isFinite(loss) || !clip.isFinite);
      assert.ok(first > 0 && first < numSteps, `it diverges at ${first}`);
      assert.ok(results.slice(first).every(({ clip }) => !clip.isFinite));
      const ended = await openOn(device, specOf(one));
      // Without clipping the step itself has been applied, as far as it was finite, before its norm was known.
      await train(ended, one, 1e30, clipNorm === 0 ? first + 1 : first);
      await expectSameWeights(training, ended);
      graphs.release();
    },
  );
}

test.run();
