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
  lightning: 'q k v g norm o',
  'linear-attention': 'q k v o',
};

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

test.run();
