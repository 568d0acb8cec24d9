import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Measured } from '../collectives/measured.js';
import { fakePlan } from '../testing/fake-job.js';
import { probeLinks } from './probe-links.js';

const plan = fakePlan({ numRanks: 2, steps: 1 });
const link = { latencyS: 1e-5, gapS: 1e-6, bandwidthBytesPerS: 1e9 };
const inside = { link, residuals: [], meanRelativeError: 0, worstRelativeError: 0 };
const found: Measured = {
  ...{
    rows: [],
    fit: { inside, between: null, chains: null, ranksPerNode: 1 },
    handOverS: null,
    numRanks: 2,
  },
  ...{ engine: 'tcp', machine: { device: 'cpu' }, versions: {} },
};

/** A probe the first of whose measurements tell no links; with how often it has measured. */
async function probe(numInVain: number) {
  let numMeasured = 0;
  const measure = async () => ({ ...found, fit: numMeasured++ < numInVain ? null : found.fit });
  const outcome = await probeLinks(plan, {}, undefined, measure).then(
    (file) => file.link,
    (error: Error) => error.message,
  );
  return { outcome, numMeasured };
}

test('times that tell no links, on a machine that is busy ~> measured again', async () => {
  assert.equal(await probe(0), { outcome: link, numMeasured: 1 });
  assert.equal(await probe(2), { outcome: link, numMeasured: 3 });
});

test('three times in vain ~> E-PROBE-FIT, with what to do', async () => {
  const { outcome, numMeasured } = await probe(3);
  assert.is(numMeasured, 3);
  assert.match(
    `${outcome}`,
    /^error\[E-PROBE-FIT\] parallel\.fabric: 3 probes .*Fix: start again, or name links/,
  );
});

test.run();
