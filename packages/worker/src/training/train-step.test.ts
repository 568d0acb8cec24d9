import { createInProcessGroup, type Device, type DType, openCpuDevice } from '@longscan/kernels';
import { randomSource } from '@longscan/kernels/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Batch } from '../data/index.js';
import { loadAttentionStrategy, loadStrategy } from '../load-strategy.js';
import { loadLayers } from '../model/load-layers.js';
import { createModel, parameterSpecs } from '../model/model.js';
import { Parameters } from '../model/parameters.js';
import { Optimizer } from '../optim/optimizer.js';
import { type JobSpec, jobSpecSchema } from '../protocol/job-spec.js';
import { slicesOf } from '../sequence/slice-group.js';
import { numExtra, type StepResult, trainStep, validate } from './train-step.js';
import type { Training } from './training.js';

const sequenceLength = 192;
const names = ['gla', 'lightning', 'linear-attention'];
/** Small enough for rounding errors to stay far below what is allowed after 20 steps; at twice as much they do not. */
const learningRate = 5e-3;
const stay = { stop: false, save: false };

const spec: JobSpec = jobSpecSchema.parse({
  model: {
    dModel: 32,
    numLayers: 3,
    numHeads: 2,
    vocabSize: 40,
    mlp: 64,
    layers: names.map((use) => ({ use, options: {}, file: null })),
  },
  data: { path: 'unused', sequenceLength },
  // Large against the gradients of rarely used weights: AdamW's division would amplify their rounding errors.
  optimizer: { eps: 1e-3 },
});

/** dp x sp ranks in this process. */
async function openRanks(
  sp: number,
  dp: number,
  strategyName: string,
  dtype: DType = 'f32',
): Promise<Training[]> {
  const layers = await loadLayers(spec.model);
  const strategy = await loadStrategy(strategyName);
  const attention = await loadAttentionStrategy('kv-all-gather');
  const devices = Array.from({ length: sp * dp }, () => openCpuDevice());
  const world = devices.length > 1 ? createInProcessGroup(devices, { axis: 'world' }) : null;
  const rows = Array.from({ length: dp }, (_, row) => devices.slice(row * sp, (row + 1) * sp));
  const sequenceGroups = rows.flatMap((row) => (sp > 1 ? createInProcessGroup(row) : row.map(() => null)));
  const slices = slicesOf(new Array<number>(sp).fill(sequenceLength / sp));
  return devices.map((device, rank) => {
    const parameters = new Parameters(device, parameterSpecs(spec.model, layers), { numExtra, dtype });
    parameters.initialise(7);
    const communicator = sequenceGroups[rank] ?? null;
    return {
      device,
      parameters,
      model: createModel(spec.model, layers, parameters),
      optimizer: new Optimizer(parameters, spec.optimizer),
      mesh: { sp: communicator, world: world?.[rank] ?? null, close() {} },
      carry: null,
      graphs: null,
      sequence: communicator && {
        ...{ communicator, slices, attention },
        scanOf: () => ({ strategy, options: { blocks: 3 } }),
      },
    };
  });
}

/** Rank's part of two sequences that are the same for every mesh; three labels of the first are ignored. */
function batchOf(step: number, rank: number, sp: number, dp: number): Batch {
  const next = randomSource(step);
  const length = sequenceLength / sp;
  const sequences = Array.from({ length: 2 }, () =>
    Array.from({ length: sequenceLength + 1 }, () => Math.floor(40 * next() * next())),
  );
  const mine = sequences.filter((_, i) => dp === 1 || i === Math.floor(rank / sp));
  const begin = (rank % sp) * length;
  const cut = (shift: number) =>
    mine.flatMap((tokens) => tokens.slice(begin + shift, begin + length + shift));
  return {
    numSequences: mine.length,
    sliceLength: length,
    tokens: Int32Array.from(cut(0)),
    labels: Int32Array.from(cut(1)),
    numValidTokens: 2 * sequenceLength,
    resets: null,
    openTokens: null,
  };
}

async function train(sp: number, dp: number, strategy: string, numSteps: number, dtype: DType = 'f32') {
  const ranks = await openRanks(sp, dp, strategy, dtype);
  const results: StepResult[][] = [];
  for (let step = 1; step <= numSteps; step++) {
    results.push(
      await Promise.all(
        ranks.map((training, rank) =>
          trainStep(training, [batchOf(step, rank, sp, dp)], step, learningRate, stay),
        ),
      ),
    );
  }
  const validation = await Promise.all(
    ranks.map((training, rank) => validate(training, [batchOf(99, rank, sp, dp)])),
  );
  const weights = await ranks[0]!.parameters.values.readNumbers();
  const weightsOfLast = await ranks.at(-1)!.parameters.values.readNumbers();
  const leaks = ranks.map(({ device }) => device.memory().inUseBytes);
  for (const { device } of ranks) device.close();
  return { results, weights, weightsOfLast, validation, leaks };
}

/** In f32 rounding grows by a factor of ten in three steps, and says nothing any more after twelve. */
const numSteps = { f32: 12, f64: 20 };
/** One rank, in the two types: what every mesh must repeat. */
const single = {
  f32: await train(1, 1, 'ring', numSteps.f32),
  f64: await train(1, 1, 'ring', numSteps.f64, 'f64'),
};

/**
 * Relative, per step. f64 shows that the sums are the same ones; f32 is what jobs see, and there a norm is only compared
 * before the first update: it is the steepest function of weights that differ by rounding.
 */
/** Before rounding has grown, f32 too is held to a bound of its own size. */
const numExactSteps = 6;
const allowed = { f64: { loss: 1e-10, norm: 1e-8 }, f32: { loss: 1e-4, norm: 1e-5 } };

test('train step ~> the loss falls', () => {
  const losses = single.f64.results.map(([result]) => result!.loss);
  assert.ok(losses.at(-1)! < losses[0]! - 0.3, `${losses}`);
});

for (const strategy of ['ring', 'all-gather', 'all-scan']) {
  for (const [sp, dp] of [
    [2, 1],
    [3, 1],
    [4, 1],
    [2, 2],
    [1, 2],
  ] as const) {
    if (sp === 1 && strategy !== 'ring') continue;
    for (const dtype of ['f64', 'f32'] as const) {
      test(`train step ~> ${strategy}, sp=${sp} dp=${dp}, ${dtype}: losses and norms as on one rank`, async () => {
        const many = await train(sp, dp, strategy, numSteps[dtype], dtype);
        const tolerance = allowed[dtype];
        many.results.forEach((ranks, i) => {
          const expected = single[dtype].results[i]![0]!;
          for (const result of ranks) {
            const found = {
              loss: result.loss / expected.loss - 1,
              norm: result.clip.norm / expected.clip.norm - 1,
            };
            assert.is(result.loss, ranks[0]!.loss);
            const lossBound = i < numExactSteps ? Math.min(tolerance.loss, 1e-6) : tolerance.loss;
            assert.ok(Math.abs(found.loss) <= lossBound, `step ${i + 1}, loss off by ${found.loss}`);
            if (dtype === 'f32' && i > 0) continue;
            assert.ok(Math.abs(found.norm) <= tolerance.norm, `step ${i + 1}, norm off by ${found.norm}`);
          }
        });
        assert.equal(many.weightsOfLast, many.weights);
        for (const loss of many.validation) {
          assert.ok(Math.abs(loss / single[dtype].validation[0]! - 1) <= tolerance.loss);
        }
      });
    }
  }
}

test('train step ~> bytes of ring and all-scan: V_S per layer from all ranks but the last, mirrored in reverse', async () => {
  // Per sequence: gla 2 heads of 8 x 16, lightning 16 x 16, linear attention 16 x 17.
  const stateBytes = 4 * 2 * 2 * (8 * 16 + 16 * 16 + 16 * 17);
  for (const strategy of ['ring', 'all-scan']) {
    const { results } = await train(3, 1, strategy, 2);
    for (const ranks of results) {
      assert.equal(
        ranks.map((result) => result.spBytesSentForward),
        [stateBytes, stateBytes, 0],
      );
      assert.equal(
        ranks.map((result) => result.spBytesSentBackward),
        [0, stateBytes, stateBytes],
      );
    }
  }
});

test('train step ~> two micro-batches of one sequence = one of two, bytes of each direction included', async () => {
  const stepsWith = async (split: (batch: Batch) => Batch[]) => {
    const ranks = await openRanks(3, 1, 'ring', 'f64');
    const results = await Promise.all(
      ranks.map((training, rank) => {
        const batches = split(batchOf(1, rank, 3, 1));
        return trainStep(training, batches, 1, learningRate, stay);
      }),
    );
    for (const { device } of ranks) device.close();
    return results;
  };
  const whole = await stepsWith((batch) => [batch]);
  const halves = await stepsWith(({ tokens, labels, ...batch }) =>
    [0, 1].map((i) => {
      const [begin, end] = [i * batch.sliceLength, (i + 1) * batch.sliceLength];
      const [part, partLabels] = [tokens.slice(begin, end), labels.slice(begin, end)];
      return { ...batch, numSequences: 1, tokens: part, labels: partLabels };
    }),
  );
  for (const [rank, { loss, clip, spBytesSentForward, spBytesSentBackward }] of halves.entries()) {
    const expected = whole[rank]!;
    assert.ok(Math.abs(loss / expected.loss - 1) <= allowed.f64.loss);
    assert.ok(Math.abs(clip.norm / expected.clip.norm - 1) <= allowed.f64.norm);
    assert.is(spBytesSentForward, expected.spBytesSentForward);
    assert.is(spBytesSentBackward, expected.spBytesSentBackward);
  }
});

test('train step ~> memory in use is the same after two and after ten steps', async () => {
  const [few, more] = [await train(2, 1, 'all-scan', 2), await train(2, 1, 'all-scan', 10)];
  assert.equal(more.leaks, few.leaks);
});

test('train step ~> a wish of one rank reaches all in the same step', async () => {
  const ranks = await openRanks(2, 1, 'ring');
  const run = (wishes: readonly { stop: boolean; save: boolean }[]) =>
    Promise.all(
      ranks.map((training, rank) => trainStep(training, [batchOf(1, rank, 2, 1)], 1, 0, wishes[rank]!)),
    );
  const outcome = (results: readonly StepResult[]) =>
    results.map(({ stop, save }) => ({ stop, save: stop && save }));
  assert.equal(
    outcome(await run([stay, { stop: true, save: true }])),
    Array(2).fill({ stop: true, save: true }),
  );
  assert.equal(
    outcome(await run([{ stop: true, save: false }, stay])),
    Array(2).fill({ stop: true, save: false }),
  );
  assert.equal(outcome(await run([stay, stay])), Array(2).fill(stay));
  for (const { device } of ranks as { device: Device }[]) device.close();
});

test('train step ~> a gradient that is not finite changes no weight', async () => {
  const [training] = await openRanks(1, 1, 'ring');
  const before = await training!.parameters.values.readNumbers();
  training!.parameters.byName.get('norm')!.write(Float32Array.from({ length: 32 }, () => Number.NaN));
  const poisoned = await training!.parameters.values.readNumbers();
  const result = await trainStep(training!, [batchOf(1, 0, 1, 1)], 1, 1e-2, stay);
  assert.not(result.clip.isFinite);
  const after = await training!.parameters.values.readNumbers();
  // As bytes: NaN equals nothing.
  assert.equal(Buffer.from(after.buffer), Buffer.from(poisoned.buffer));
  assert.equal(after.slice(0, 1000), before.slice(0, 1000));
  training!.device.close();
});

test('a step that fails between its passes gives back what the forward pass has kept', async () => {
  const [training] = await openRanks(1, 1, 'ring');
  const { device } = training!;
  const step = (number: number) => trainStep(training!, [batchOf(number, 0, 1, 1)], number, 0.1, stay);
  await step(1);
  const { inUseBytes } = device.memory();
  const { compute } = device;
  compute.mark = (name) => {
    if (name === 'backward') throw new Error('in between');
  };
  assert.throws(() => step(2), /in between/);
  await compute.sync();
  assert.is(device.memory().inUseBytes, inUseBytes);
  device.close();
});

test.run();
