import { test } from 'uvu';
import type { Layer } from '../layer.js';
import ring from '../sp/ring.js';
import { layerChecks } from './layer-suite.js';
import { importUnits } from './unit-files.js';

/** Numbers among the options of layers with attention: the suite of all layers checks their defaults only. */
const cases = [
  ['softmax-attention', { numKvHeads: 2, window: 9 }],
  ['softmax-attention', { numKvHeads: 1, window: 1 }],
  ['rat', { chunk: 1 }],
  ['rat', { chunk: 8, numGroups: 1 }],
] as const;

const layers = await importUnits<Layer>(new URL('../layers/', import.meta.url));

for (const [name, options] of cases) {
  const layer = layers.get(name)!;
  const changed = { ...layer, config: { ...layer.config, ...options } };
  // A window of one token has nothing on either side to read.
  const seesItselfOnly = 'window' in options && options.window === 1;
  for (const check of layerChecks(changed, [ring])) {
    if (!check.name.startsWith('defaults')) continue;
    if (seesItselfOnly && check.name.endsWith('a token reads on both sides of itself')) continue;
    test(`${name} ${JSON.stringify(options)}, ${check.name}`, check.run);
  }
}

test.run();
