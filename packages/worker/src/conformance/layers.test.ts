import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Layer } from '../layer.js';
import type { Strategy } from '../strategy.js';
import { ownName, parameterSpecs, variantsOf } from './layer/variant.js';
import { layerChecks } from './layer-suite.js';
import { importUnits } from './unit-files.js';

/** Names are part of the checkpoint format: a change here makes old checkpoints unreadable. */
const savedNames: Readonly<Record<string, string>> = {
  gla: 'q k v gate.down gate.up gate.bias g norm o',
  'simple-gla': 'q k v gate.weight gate.bias g norm o',
  lightning: 'q k v g norm o',
  'linear-attention': 'q k v o',
};

/** Options that make no sense, and what is said about them. */
const refusals = [
  ['gla', { gateRank: 0 }, 'error[E-CFG-RANGE] layer gla, gateRank: 0, expected a whole number >= 1'],
  ['gla', { gateRank: 2.5 }, 'error[E-CFG-RANGE] layer gla, gateRank: 2.5, expected a whole number >= 1'],
  ['gla', { gateNormalizer: 0 }, 'error[E-CFG-RANGE] layer gla, gateNormalizer: 0, expected a number > 0'],
  ['gla', { expandK: -1 }, 'error[E-SHAPE] layer gla: expandK × model.dModel / numHeads = -1 × 16 / 4 = -4'],
  [
    'gla',
    { numHeads: 0 },
    'error[E-SHAPE] layer gla: expandK × model.dModel / numHeads = 0.5 × 16 / 0 = Infinity',
  ],
  [
    'lightning',
    { expandV: 0.3 },
    'error[E-SHAPE] layer lightning: expandV × model.dModel / numHeads = 0.3 × 16 / 4',
  ],
  ['lightning', { normEps: 0 }, 'error[E-CFG-RANGE] layer lightning, normEps: 0, expected a number > 0'],
  ['linear-attention', { normalizerEps: -1 }, 'error[E-CFG-RANGE] layer linear-attention, normalizerEps: -1'],
] as const;

const layers = await importUnits<Layer>(new URL('../layers/', import.meta.url));
const strategies = await importUnits<Strategy>(new URL('../sp/', import.meta.url));

for (const [name, layer] of layers) {
  test(`${name} ~> is named as its file`, () => assert.is(layer.name, name));
  for (const check of layerChecks(layer, [...strategies.values()])) {
    test(`${name}, ${check.name}`, () => check.run());
  }
}

for (const [name, names] of Object.entries(savedNames)) {
  test(`${name} ~> checkpoints find its parameters under the names they were saved with`, () => {
    const layer = layers.get(name);
    assert.ok(layer, 'the layer is gone');
    for (const variant of variantsOf(layer)) {
      assert.is(parameterSpecs(variant).map(ownName).join(' '), names, variant.label);
    }
  });
}

for (const [name, options, message] of refusals) {
  test(`${name} ~> refuses ${JSON.stringify(options)}`, () => {
    const layer = layers.get(name)!;
    const variant = { layer, label: '', config: { ...layer.config, ...options }, dModel: 16 };
    assert.throws(
      () => parameterSpecs(variant),
      (error: Error) => error.message.startsWith(message),
    );
  });
}

test.run();
