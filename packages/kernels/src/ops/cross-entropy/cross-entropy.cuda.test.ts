import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Device } from '../../device.js';
import { fromArray, type Tensor } from '../../tensor.js';
import { testOnGpu } from '../../testing/gpu.js';
import {
  checkOpOnGpu,
  expectClose,
  fromNumbers,
  randomNormal,
  randomUniform,
  tolerances,
} from '../../testing/index.js';
import { scale as scaleBy } from '../pointwise/index.js';
import { crossEntropy } from './index.js';
import { crossEntropyReference } from './reference.js';

const labelsFor = (numTokens: number, vocab: number) =>
  randomUniform(numTokens, 3, -1, vocab).map(Math.floor);

// Vocabularies by one and by four, of small blocks and large ones; the last in several chunks.
for (const { numTokens, vocab, dim } of [
  { numTokens: 1, vocab: 1, dim: 1 },
  { numTokens: 63, vocab: 257, dim: 33 },
  { numTokens: 300, vocab: 8, dim: 5 },
  { numTokens: 130, vocab: 2052, dim: 40 },
  { numTokens: 70, vocab: 9001, dim: 24 },
  { numTokens: 1100, vocab: 130_000, dim: 8 },
]) {
  testOnGpu(`cross-entropy ~> ${numTokens} tokens, ${vocab} of vocabulary, dim ${dim}`, (device) =>
    checkOpOnGpu(device, {
      name: 'cross-entropy',
      inputs: {
        hidden: { values: randomNormal(numTokens * dim, 1), shape: [numTokens, dim] },
        weight: { values: randomNormal(vocab * dim, 2, 0.3), shape: [vocab, dim] },
      },
      op: ({ hidden, weight }, on) => {
        const labels = fromArray(on, labelsFor(numTokens, vocab), [numTokens], 'i32');
        // The gradient that reaches the loss counts.
        return [scaleBy(crossEntropy({ hidden, weight, labels }, 1 / numTokens), -3)];
      },
      reference: (values) => crossEntropyReference(values, labelsFor(numTokens, vocab), dim, -3 / numTokens),
    }),
  );
}

/** Loss and gradients of a parameter of bf16 whose gradient is f32 and holds something already. */
async function trained(
  device: Device,
  hidden: Tensor,
  weight: Tensor,
  labels: Tensor,
  before: Float64Array,
  isFinal = false,
): Promise<Float64Array[]> {
  hidden.requiresGrad = true;
  weight.requiresGrad = true;
  weight.gradient = fromArray(device, before, weight.shape);
  const { result, tape } = device.record(() =>
    crossEntropy({ hidden, weight, labels }, 1 / labels.size, { isFinal }),
  );
  const [dHidden] = tape.backward([result], [fromArray(device, [1], [1])], [hidden]);
  return [await result.readNumbers(), await dHidden!.readNumbers(), await weight.gradient.readNumbers()];
}

testOnGpu('bf16 into a gradient of f32, twice with the same bits', async (device) => {
  const [numTokens, vocab, dim] = [517, 4100, 72];
  const inputs = {
    hidden: fromNumbers(device, randomNormal(numTokens * dim, 1), [numTokens, dim], 'bf16'),
    weight: fromNumbers(device, randomNormal(vocab * dim, 2, 0.2), [vocab, dim], 'bf16'),
    labels: fromArray(device, labelsFor(numTokens, vocab), [numTokens], 'i32'),
  };
  const { hidden, weight, labels } = inputs;
  const before = randomNormal(vocab * dim, 4, 1e-3);
  const found = await trained(device, hidden, weight, labels, before);
  const single = {
    hidden: fromArray(device, await hidden.readNumbers(), hidden.shape),
    weight: fromArray(device, await weight.readNumbers(), weight.shape),
  };
  const exact = await trained(device, single.hidden, single.weight, labels, before);
  // The logits are not rounded, so neither is the loss.
  expectClose('loss', found[0]!, exact[0]!, 1e-6);
  expectClose('dHidden', found[1]!, exact[1]!, tolerances.bf16);
  expectClose('dWeight', found[2]!, exact[2]!, tolerances.bf16);
  assert.equal(await trained(device, hidden, weight, labels, before), found, 'other bits the second time');
  const final = await trained(device, hidden, weight, labels, before, true);
  assert.equal(final.slice(0, 2), found.slice(0, 2));
  expectClose('dWeight of a final loss', final[2]!, found[2]!, tolerances.f32);
});

testOnGpu('huge logits do not overflow, and an ignored row may hold anything', async (device) => {
  const hidden = fromArray(device, [1000, -1000, Number.NaN], [3, 1]);
  const weight = fromArray(device, [1, -1], [2, 1]);
  hidden.requiresGrad = true;
  hidden.gradient = fromArray(device, [0, 0, 0], [3, 1]);
  const labels = fromArray(device, [0, 0, -1], [3], 'i32');
  const { result, tape } = device.record(() => crossEntropy({ hidden, weight, labels }, 1));
  assert.equal([...(await result.read())], [2000]);
  tape.backward([result], [fromArray(device, [1], [1])]);
  assert.equal([...(await hidden.gradient.read())], [0, -2, 0]);
});

testOnGpu('a label that is not in the vocabulary makes the loss NaN', async (device) => {
  const hidden = fromArray(device, [1, 2], [2, 1]);
  const weight = fromArray(device, [1, 2], [2, 1]);
  for (const label of [2, 1_000_000_000, -2]) {
    const labels = fromArray(device, [1, label], [2], 'i32');
    assert.equal([...(await crossEntropy({ hidden, weight, labels }, 1).read())], [Number.NaN]);
  }
});

testOnGpu('no tokens: loss 0 and gradients 0', async (device) => {
  const weight = fromArray(device, [1, 2], [2, 1]);
  weight.requiresGrad = true;
  weight.gradient = fromArray(device, [0, 0], [2, 1]);
  const hidden = fromArray(device, [], [0, 1]);
  const labels = fromArray(device, [], [0], 'i32');
  const { result, tape } = device.record(() => crossEntropy({ hidden, weight, labels }, 1));
  tape.backward([result], [fromArray(device, [1], [1])]);
  assert.equal([...(await result.read())], [0]);
  assert.equal([...(await weight.gradient.read())], [0, 0]);
});

test.run();
