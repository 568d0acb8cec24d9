import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadCompute } from '../compute/load-compute.js';
import type { Fabric } from '../fabric/fabric.js';
import { simulateStep } from '../simulate/simulate-step.js';
import { loadJob } from '../spec/index.js';
import { planJob } from './plan-job.js';
import { stepTime } from './step-time.js';

const inside: Fabric = { name: 'wire', latencyS: 5e-6, gapS: 2e-6, bandwidthBytesPerS: 10e9 };
const between = { latencyS: 1e-3, gapS: 4e-6, bandwidthBytesPerS: 1e8 };
const links: Fabric = { ...inside, nodes: { ranksPerNode: 2, between } };

async function planOf(ranksPerNode: number | 'auto') {
  const { jobSpec } = await loadJob(
    {
      model: { dModel: 64, numLayers: 2, numHeads: 4, vocabSize: 256, mlp: 64, chunk: 16, layers: ['gla'] },
      data: { path: 'none', sequenceLength: 32, batchSize: 2 },
      parallel: { sp: 2, dp: 2, ranksPerNode },
    },
    { readsText: false },
  );
  return planJob(jobSpec, {}, links);
}

test('step time ~> gradients are summed by the links between nodes, though each sequence fits one', async () => {
  const compute = loadCompute('h200');
  for (const [ranksPerNode, fabric] of [
    ['auto', links],
    [2, links],
    [1, { ...links, nodes: { ranksPerNode: 1, between } }],
    [4, inside],
  ] as const) {
    const plan = await planOf(ranksPerNode);
    const found = await stepTime(plan, 'h200');
    const expected = await simulateStep(plan, { fabric, compute });
    assert.is(found!.stepSeconds, expected.seconds, `${ranksPerNode} ranks a node`);
  }
  const sumsOf = async (ranksPerNode: number) =>
    Math.max(
      ...(await stepTime(await planOf(ranksPerNode), 'h200'))!.ranks.map((one) => one.exposedGradientS),
    );
  const [apart, together] = [await sumsOf(2), await sumsOf(4)];
  assert.ok(apart > together + between.latencyS, `${apart} s between two nodes, ${together} s inside one`);
});

test.run();
