import { expectClose, tolerances } from '@longscan/kernels/testing';
import { test } from 'uvu';
import type { AttentionStrategy } from '../attention-strategy.js';
import type { Layer } from '../layer.js';
import ring from '../sp/ring.js';
import { createProblem } from './layer/problem.js';
import { runAlone, runLayer } from './layer/run-layer.js';
import { variantsOf } from './layer/variant.js';
import { importUnits } from './unit-files.js';

/** Layers with attention: the suite of all layers runs them under one strategy for keys and values. */
const names = ['softmax-attention', 'rat'];
const cuts = [
  [16, 16],
  [16, 16, 16, 16],
];

const layers = await importUnits<Layer>(new URL('../layers/', import.meta.url));
const strategies = await importUnits<AttentionStrategy>(new URL('../attention-strategies/', import.meta.url));

for (const name of names) {
  const [variant] = variantsOf(layers.get(name)!);
  for (const [strategyName, attention] of strategies) {
    test(`${name} under ${strategyName} ~> 1 rank = 2, 4 ranks, documents packed or not`, async () => {
      for (const lengths of cuts) {
        const T = lengths.length * lengths[0]!;
        for (const starts of [undefined, [[5, 16, 23], [T - 1]]]) {
          const problem = createProblem(variant!, { T, starts });
          const alone = await runAlone(problem);
          const found = await runLayer(problem, { lengths, strategy: ring, attention });
          const where = `slices of ${lengths}${starts ? ', packed' : ''}`;
          expectClose(`${where}: output`, found.output, alone.output, tolerances.f64);
          expectClose(`${where}: gradient of x`, found.inputGradient, alone.inputGradient, tolerances.f64);
          for (const [parameter, gradient] of alone.parameterGradients) {
            const sum = found.parameterGradients.get(parameter)!;
            expectClose(`${where}: gradient of ${parameter}`, sum, gradient, tolerances.f64);
          }
        }
      }
    });
  }
}

test.run();
