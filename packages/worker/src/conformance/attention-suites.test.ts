import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { AttentionStrategy } from '../attention-strategy.js';
import { attentionStrategyChecks } from './attention-strategy-suite.js';
import { runChecks } from './check.js';
import { brokenAttentionStrategies } from './testing/broken-attention-strategies.js';
import { importUnits } from './unit-files.js';

for (const { fault, strategy, noticedBy } of brokenAttentionStrategies) {
  test(`a strategy for softmax layers is refused ~> ${fault}`, async () => {
    const asked = attentionStrategyChecks(strategy).filter(({ name }) => noticedBy.test(name));
    assert.ok(asked.length > 0, `no check is named ${noticedBy}`);
    const results = await runChecks(asked);
    assert.ok(
      results.some(({ passed }) => !passed),
      `nothing noticed by ${asked.map(({ name }) => name).join('; ')}`,
    );
  });
}

const from = (file: string) => JSON.stringify(new URL(`../${file}`, import.meta.url).href);
const sample = `
import kvAllGather from ${from('attention-strategies/kv-all-gather.js')};
import { defineAttentionStrategy } from ${from('index.js')};
export default defineAttentionStrategy({ ...kvAllGather, name: 'sample' });`;

test('a file dropped into the folder is picked up, and the suite runs on it', async () => {
  const dist = mkdtempSync(join(tmpdir(), 'longscan-attention-'));
  try {
    const folder = pathToFileURL(`${join(dist, 'attention-strategies')}/`);
    mkdirSync(folder);
    writeFileSync(new URL('sample.js', folder), sample);
    // Outside of any package, files are CommonJS unless this says otherwise.
    writeFileSync(join(dist, 'package.json'), '{"type":"module"}');
    const dropped = await importUnits<AttentionStrategy>(folder);
    assert.equal([...dropped.keys()], ['sample']);
    const results = await runChecks(attentionStrategyChecks(dropped.get('sample')!));
    assert.equal(
      results.filter(({ passed }) => !passed),
      [],
    );
    assert.ok(results.length > 40, `${results.length} checks`);
  } finally {
    rmSync(dist, { recursive: true, force: true });
  }
});

test.run();
