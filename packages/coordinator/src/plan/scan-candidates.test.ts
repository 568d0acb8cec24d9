import type { JobSpec } from '@longscan/worker/protocol';
import { jobSpecSchema } from '@longscan/worker/protocol';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { scanCandidates } from './scan-candidates.js';
import { loadStrategies } from './strategies.js';

const strategies = await loadStrategies();

function listed(parallel: Partial<JobSpec['parallel']>, ranksPerNode: number, name: string) {
  const job = jobSpecSchema.parse({
    model: { mlp: 0, layers: [{ use: 'gla', options: {}, file: null }] },
    data: { path: '/text' },
    parallel,
  });
  return scanCandidates(strategies, job, ranksPerNode)
    .filter(({ strategy }) => strategy.name === name)
    .map(({ options }) => options);
}

test('candidates ~> every number of blocks; one of them only where the job asks for the strategy', () => {
  const blocks = (parallel: Partial<JobSpec['parallel']>) =>
    listed({ sp: 4, ...parallel }, 4, 'all-scan').map((options) => options.blocks);
  assert.equal(blocks({}), [2, 4, 8, 16, 32, 64]);
  assert.equal(blocks({ strategy: 'all-scan' }), [1, 2, 4, 8, 16, 32, 64]);
  assert.equal(blocks({ blocks: 100 }), [100]);
  assert.equal(listed({ sp: 4 }, 4, 'ring'), [{ blocks: 1, ranksPerNode: 4 }]);
});

test('candidates ~> groups lie in nodes or hold whole ones, and divide the sequence', () => {
  const sizes = (sp: number, ranksPerNode: number, parallel: Partial<JobSpec['parallel']> = {}) =>
    listed({ sp, ...parallel }, ranksPerNode, 'two-level').map((options) => options.ranksPerNode);
  assert.equal(sizes(8, 8), [2, 4, 8]);
  assert.equal(sizes(12, 4), [2, 4, 12]);
  assert.equal(sizes(7, 7), [7]);
  assert.equal(sizes(4096, 8), [2, 4, 8, 16, 32, 64]);
  assert.equal(sizes(8, 2, { ranksPerNode: 2 }), [2]);
});

test.run();
