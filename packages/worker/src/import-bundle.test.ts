import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LongscanError } from '@longscan/kernels';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { importBundle } from './import-bundle.js';
import { defineLayer } from './index.js';

// What stays behind is looked for there: other test files run at the same time.
const temporary = mkdtempSync(join(tmpdir(), 'longscan-import-bundle-'));
process.env.TMPDIR = temporary;
test.after(() => rmSync(temporary, { recursive: true }));

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

test('the bundles of a model with many layers are imported at once, and wait for the end of the process but once', async () => {
  const before = process.listenerCount('exit');
  const imports = Array.from({ length: 12 }, (_, i) => importCode(`export const number = ${i};`));
  assert.is(process.listenerCount('exit'), before + 1);
  assert.equal(
    (await Promise.all(imports)).map(({ number }) => number),
    imports.map((_, i) => i),
  );
  assert.is(process.listenerCount('exit'), before);
});

test('nothing stays behind when the module ends the process', () => {
  const place = mkdtempSync(join(tmpdir(), 'longscan-bundle-'));
  try {
    writeFileSync(join(place, 'bundle.mjs'), 'process.exit(7);');
    const url = new URL('./import-bundle.js', import.meta.url).href;
    const code = `import { importBundle } from ${JSON.stringify(url)}; await importBundle(process.env.BUNDLE);`;
    const env = { ...process.env, TMPDIR: place, BUNDLE: join(place, 'bundle.mjs') };
    const ended = spawnSync(process.execPath, ['--input-type=module', '-e', code], { env });
    assert.is(ended.status, 7);
    assert.equal(readdirSync(place), ['bundle.mjs']);
  } finally {
    rmSync(place, { recursive: true });
  }
});

test('nothing stays behind, also when the module throws', async () => {
  const error = await importCode('throw new Error("broken layer");').catch((reason) => reason);
  assert.is(error.message, 'broken layer');
  assert.equal(readdirSync(temporary), []);
});

test.run();
