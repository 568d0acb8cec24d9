import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LongscanError } from '@longscan/kernels';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { importBundle } from './import-bundle.js';
import { defineLayer } from './index.js';

async function importCode(code: string): Promise<Record<string, unknown>> {
  const folder = mkdtempSync(join(tmpdir(), 'longscan-bundle-'));
  try {
    writeFileSync(join(folder, 'bundle.mjs'), code);
    return { ...(await importBundle(join(folder, 'bundle.mjs'))) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("a bundle gets this process's own packages, wherever it lies", async () => {
  const module = await importCode(
    [
      "import { LongscanError as E } from '@longscan/kernels';",
      'import {\n  defineLayer,\n} from "@longscan/worker";',
      "export { latestCommitted } from '@longscan/worker/checkpoint';",
      'const text = "from \'@longscan/kernels\'";',
      'export { E, defineLayer, text };',
    ].join('\n'),
  );
  assert.is(module.E, LongscanError);
  assert.is(module.defineLayer, defineLayer);
  assert.type(module.latestCommitted, 'function');
  assert.is(module.text, "from '@longscan/kernels'", 'only imports are pointed elsewhere');
});

test('nothing stays behind, also when the module throws', async () => {
  const leftovers = () => readdirSync(tmpdir()).filter((name) => name.startsWith('longscan-layer-'));
  const before = leftovers();
  const error = await importCode('throw new Error("broken layer");').catch((reason) => reason);
  assert.is(error.message, 'broken layer');
  assert.equal(leftovers(), before);
});

test.run();
