import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { chipsNamed, rehearsalEnv } from './chips.js';
import { kernelTable, launchedSymbols } from './kernel-table.js';

test('chips by name, all without one; what is none is refused with those that are', () => {
  assert.equal(
    chipsNamed(['H200', 'A100']).map(({ capability }) => capability),
    [90, 80],
  );
  assert.is(chipsNamed([]).length, 3);
  assert.throws(() => chipsNamed(['V100']), /--chip V100: expected A100, L40S, H200/);
});

test('a rehearsed process has the fakes, and is told its chip', () => {
  const env = rehearsalEnv(chipsNamed(['L40S'])[0]!, '/build', '/table', '/launches');
  assert.is(env.LONGSCAN_CUDA, '/build/longscan_cuda_rehearsal.so');
  assert.match(env.LONGSCAN_FAKE_CUDA!, /\bcapability=89\b/);
});

test('kernel table ~> a line for each image, as the fake runtime reads it', () => {
  const image = { symbol: '_Z5sweep', stackBytes: 0, spillBytes: 0 };
  const table = kernelTable([
    { ...image, architecture: 'sm_80', registers: 4, sharedBytes: 0 },
    { ...image, architecture: 'sm_90a', registers: 168, sharedBytes: 2192 },
  ]);
  assert.is(table, '_Z5sweep sm_80 4 0\n_Z5sweep sm_90a 168 2192');
});

test('launches ~> each symbol once', () => {
  const launches = '_Z5sweep <<<(1, 1, 1), (128, 1, 1), 0>>>\n_Z3add <<<(2, 1, 1), (256, 1, 1), 0>>>\n';
  assert.equal([...launchedSymbols(launches + launches)], ['_Z5sweep', '_Z3add']);
});

test.run();
