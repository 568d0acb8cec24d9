import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openCpuDevice } from '../../device.js';
import { LongscanError } from '../../errors.js';
import { fromArray } from '../../tensor.js';
import { checkOp, expectClose, randomNormal, randomUniform, tolerances } from '../../testing/index.js';
import { scale as scaleBy } from '../pointwise/index.js';
import { crossEntropy } from './index.js';
import { crossEntropyReference } from './reference.js';

for (const { numTokens, vocab, dim } of [
  { numTokens: 1, vocab: 1, dim: 1 },
  { numTokens: 63, vocab: 257, dim: 33 },
  { numTokens: 300, vocab: 7, dim: 5 },
]) {
  test(`cross-entropy ${numTokens} tokens, ${vocab} of vocabulary, dim ${dim}`, async () => {
    const labels = randomUniform(numTokens, 3, -1, vocab).map(Math.floor);
    const scale = 1 / numTokens;
    await checkOp({
      name: 'cross-entropy',
      inputs: {
        hidden: { values: randomNormal(numTokens * dim, 1), shape: [numTokens, dim] },
        weight: { values: randomNormal(vocab * dim, 2), shape: [vocab, dim] },
      },
      op: ({ hidden, weight }, device) => [
        crossEntropy({ hidden, weight, labels: fromArray(device, labels, [numTokens], 'i32') }, scale),
      ],
      reference: (values) => crossEntropyReference(values, labels, dim, scale),
    });
  });
}

test('several chunks: a large vocabulary, and the gradient that reaches the loss counts', async () => {
  const [numTokens, vocab, dim] = [300, 9000, 3];
  const labels = randomUniform(numTokens, 3, -1, vocab).map(Math.floor);
  await checkOp({
    name: 'several chunks',
    inputs: {
      hidden: { values: randomNormal(numTokens * dim, 1), shape: [numTokens, dim] },
      weight: { values: randomNormal(vocab * dim, 2), shape: [vocab, dim] },
    },
    op: ({ hidden, weight }, device) => [
      scaleBy(
        crossEntropy({ hidden, weight, labels: fromArray(device, labels, [numTokens], 'i32') }, 0.01),
        -3,
      ),
    ],
    reference: (values) => crossEntropyReference(values, labels, dim, -0.03),
    maxElements: 3,
  });
});

test('huge logits do not overflow, and an ignored row may hold anything', async () => {
  const device = openCpuDevice({ poison: true });
  try {
    const hidden = fromArray(device, [1000, -1000, Number.NaN], [3, 1]);
    const weight = fromArray(device, [1, -1], [2, 1]);
    hidden.requiresGrad = true;
    const labels = fromArray(device, [0, 0, -1], [3], 'i32');
    const { result, tape } = device.record(() => crossEntropy({ hidden, weight, labels }, 1));
    assert.equal([...(await result.read())], [2000]);
    hidden.gradient = fromArray(device, [0, 0, 0], [3, 1]);
    tape.backward([result], [fromArray(device, [1], [1])]);
    assert.equal([...(await hidden.gradient.read())], [0, -2, 0]);
  } finally {
    device.close();
  }
});

test('a final loss adds the gradient of its weight to what is there, without memory for it', async () => {
  const [numTokens, vocab, dim] = [300, 9000, 3];
  const values = [randomNormal(numTokens * dim, 1), randomNormal(vocab * dim, 2)] as const;
  const labels = randomUniform(numTokens, 3, -1, vocab).map(Math.floor);
  const before = randomNormal(vocab * dim, 4, 1e-3);
  const device = openCpuDevice({ poison: true });
  const train = async (isFinal: boolean) => {
    const hidden = fromArray(device, values[0], [numTokens, dim], 'f64');
    const weight = fromArray(device, values[1], [vocab, dim], 'f64');
    hidden.requiresGrad = weight.requiresGrad = true;
    weight.gradient = fromArray(device, before, [vocab, dim], 'f64');
    const tokens = fromArray(device, labels, [numTokens], 'i32');
    const { inUseBytes } = device.memory();
    const { result, tape } = device.record(() =>
      crossEntropy({ hidden, weight, labels: tokens }, 0.01, { isFinal }),
    );
    const keptBytes = device.memory().inUseBytes - inUseBytes;
    const [dHidden] = tape.backward([result], [fromArray(device, [1], [1], 'f64')], [hidden]);
    return { keptBytes, found: [await dHidden!.readNumbers(), await weight.gradient.readNumbers()] };
  };
  try {
    const [apart, added] = [await train(false), await train(true)];
    expectClose('dHidden', added.found[0]!, apart.found[0]!, tolerances.f64);
    expectClose('dWeight', added.found[1]!, apart.found[1]!, tolerances.f64);
    assert.ok(apart.keptBytes - added.keptBytes >= vocab * dim * 8);
  } finally {
    device.close();
  }
});

test('100,000 tokens lose no bits, for any number of threads', async () => {
  const numTokens = 100_000;
  const labels = new Int32Array(numTokens);
  const losses: number[] = [];
  for (const threads of [1, 2]) {
    const device = openCpuDevice({ threads });
    const loss = crossEntropy(
      {
        hidden: fromArray(device, new Float64Array(numTokens), [numTokens, 1]),
        weight: fromArray(device, [0.3, 0.7, 0.1], [3, 1]),
        labels: fromArray(device, labels, [numTokens], 'i32'),
      },
      1 / numTokens,
    );
    losses.push((await loss.readNumbers())[0]!);
    device.close();
  }
  assert.is(losses[0], Math.fround(Math.log(3)));
  assert.is(losses[1], losses[0]);
});

test('no tokens: loss 0 and gradients 0', async () => {
  const device = openCpuDevice({ poison: true });
  try {
    const weight = fromArray(device, [1, 2], [2, 1]);
    weight.requiresGrad = true;
    weight.gradient = fromArray(device, [0, 0], [2, 1]);
    const hidden = fromArray(device, [], [0, 1]);
    const labels = fromArray(device, [], [0], 'i32');
    const { result, tape } = device.record(() => crossEntropy({ hidden, weight, labels }, 1));
    tape.backward([result], [fromArray(device, [1], [1])]);
    assert.equal([...(await result.read())], [0]);
    assert.equal([...(await weight.gradient.read())], [0, 0]);
  } finally {
    device.close();
  }
});

test('a label outside of the vocabulary is named', async () => {
  const device = openCpuDevice();
  try {
    const hidden = fromArray(device, [1, 2], [2, 1]);
    const labels = fromArray(device, [1, 7], [2], 'i32');
    crossEntropy({ hidden, weight: fromArray(device, [1, 2], [2, 1]), labels }, 1);
    await device.compute.sync();
    assert.unreachable();
  } catch (error) {
    assert.instance(error, LongscanError);
    assert.is((error as LongscanError).code, 'E-DATA-VOCAB');
    assert.match((error as Error).message, 'label 7 at position 1');
  } finally {
    device.close();
  }
});

test.run();
