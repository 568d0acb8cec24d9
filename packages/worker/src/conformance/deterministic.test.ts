import { test } from 'uvu';
import type { Layer } from '../layer.js';
import { expectSameBits, trainByUnit } from '../testing/train-by-unit.js';
import { importUnits } from './unit-files.js';

/** Every layer has the same bits whatever rank its units are on, packed or not. */
const layers = await importUnits<Layer>(new URL('../layers/', import.meta.url));

for (const [name, layer] of layers) {
  const multiple = layer.sliceMultiple?.(layer.config) ?? 1;
  const model = { layers: [name], unitLength: Math.max(7, multiple) };
  for (const packed of [false, true]) {
    test(`${name}${packed ? ', packed' : ''} ~> the same bits on 1 rank and on 4`, async () => {
      const [alone, four] = [
        await trainByUnit(model, { sp: 1, packed }),
        await trainByUnit(model, { sp: 4, packed }),
      ];
      expectSameBits(four, alone, name);
    });
  }
}

for (const window of [5, 25]) {
  test(`attention over ${window} tokens ~> the same bits where that is less and more than a unit`, async () => {
    const model = { layers: ['softmax-attention'], options: { window }, unitLength: 7 };
    const [alone, eight] = [await trainByUnit(model, { sp: 1 }), await trainByUnit(model, { sp: 8 })];
    expectSameBits(eight, alone, `window ${window}`);
  });
}

test.run();
