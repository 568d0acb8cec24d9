import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Layer } from '../layer.js';
import type { Strategy } from '../strategy.js';
import { ownName, parameterSpecs, type Variant, variantsOf } from './layer/variant.js';
import { layerChecks } from './layer-suite.js';
import { refusedOptions } from './testing/refused-options.js';
import { savedNames } from './testing/saved-names.js';
import { importUnits } from './unit-files.js';

/**
 * Registers the tests of every layer in the folder whose place in its listing is `part` modulo `numParts`: a test file
 * is one process with a deadline, so the layers are dealt out to several. LONGSCAN_LAYERS="a,b" picks some by name.
 */
export async function testLayers(part: number, numParts: number): Promise<void> {
  const layers = await importUnits<Layer>(new URL('../layers/', import.meta.url));
  const strategies = await importUnits<Strategy>(new URL('../sp/', import.meta.url));
  const wanted = process.env.LONGSCAN_LAYERS?.split(',');
  const dealt = [...layers].filter(([name], i) => (wanted ? wanted.includes(name) : i % numParts === part));
  for (const [name, layer] of dealt) testLayer(name, layer, [...strategies.values()]);
}

function testLayer(name: string, layer: Layer, strategies: readonly Strategy[]): void {
  test(`${name} ~> is named as its file`, () => assert.is(layer.name, name));
  for (const check of layerChecks(layer, strategies)) test(`${name}, ${check.name}`, () => check.run());
  test(`${name} ~> checkpoints find its parameters under the names they were saved with`, () => {
    const names = [...new Set(variantsOf(layer).map(namesOf))].join(' | ');
    assert.is(names, savedNames[name], 'the names in saved-names.ts');
  });
  for (const [, options, message] of refusedOptions.filter(([refusing]) => refusing === name)) {
    test(`${name} ~> refuses ${JSON.stringify(options)}`, () => {
      const variant = { layer, label: '', config: { ...layer.config, ...options }, dModel: 16 };
      assert.throws(
        () => parameterSpecs(variant),
        (error: Error) => error.message.startsWith(message),
      );
    });
  }
}

function namesOf(variant: Variant): string {
  return parameterSpecs(variant).map(ownName).join(' ');
}
