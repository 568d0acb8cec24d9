import { type JobSpec, jobSpecSchema, type RecurrenceTrace } from '@longscan/worker/protocol';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Fabric } from '../fabric/fabric.js';
import { loadFabric } from '../fabric/load-fabric.js';
import { type ScansOnLinks, scanCandidates } from './scan-candidates.js';
import { loadStrategies } from './strategies.js';

const strategies = await loadStrategies();

/** A recurrence of 16 heads of [V, K]. */
const scanned = (K: number): RecurrenceTrace => {
  const [numHeads, stateRows] = [16, 1024];
  const sizes = { numHeads, stateRows, stateBytes: 4 * stateRows * K, transitionBytes: 4 * numHeads * K };
  return { layer: 0, kind: 'diagonal', ...sizes };
};

const messages: Fabric = { name: 'even links', latencyS: 1e-5, gapS: 2e-6, bandwidthBytesPerS: 25e9 };
const aState = { recurrences: [scanned(64)], units: 1 };

function listed(
  parallel: Partial<JobSpec['parallel']>,
  ranksPerNode: number,
  name: string,
  scans: ScansOnLinks['scans'] = aState,
  fabric: Fabric = messages,
) {
  const job = jobSpecSchema.parse({
    model: { mlp: 0, layers: [{ use: 'gla', options: {}, file: null }] },
    data: { path: '/text' },
    parallel,
  });
  return scanCandidates(strategies, job, { scans, fabric, ranksPerNode })
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

test('candidates ~> blocks are nothing to choose where all chains of a layer go through mapped memory', () => {
  const mapped: Fabric = { ...messages, chains: loadFabric('h200-vm').chains! };
  const blocks = (scans: ScansOnLinks['scans'], fabric: Fabric) =>
    listed({ sp: 4 }, 4, 'all-scan', scans, fabric).map((options) => options.blocks);
  const [short, long] = [scanned(64), scanned(2 ** 16)];
  assert.equal(blocks({ recurrences: [short], units: 1 }, mapped), [1]);
  const asMessages = [2, 4, 8, 16, 32, 64];
  assert.equal(
    blocks({ recurrences: [short], units: 1 }, messages),
    asMessages,
    'links without mapped memory',
  );
  assert.equal(blocks({ recurrences: [short], units: 2 }, mapped), asMessages, 'unit by unit');
  assert.equal(blocks({ recurrences: [], units: 1 }, messages), asMessages, 'no recurrence');
  for (const recurrences of [[long], [short, long]]) {
    assert.equal(blocks({ recurrences, units: 1 }, mapped), asMessages, 'rows too long for a block');
  }
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
