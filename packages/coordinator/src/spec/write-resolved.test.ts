import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { checkJob } from './check-job.js';
import { findDrift, jobHash } from './job-hash.js';
import { parseSet } from './overrides.js';
import { readDocument } from './read-document.js';
import { inJobFolder, installedForTest } from './testing.js';
import { formatResolvedJob } from './write-resolved.js';

const text = [
  '[data]',
  'path = "text.txt"',
  '[model]',
  'layers = ["lightning", { use = "./it\'s.ts", deep = { "a b" = [1, 2.5] } }]',
  'numLayers = 2',
].join('\n');

test('every value with its origin, and the file gives the same job again', async () => {
  await inJobFolder({ 'job.toml': text, "it's.ts": '' }, async (folder) => {
    const set = [parseSet('job.steps=7')];
    const loaded = await checkJob(readDocument('job.toml'), set, folder, installedForTest);
    const resolved = formatResolvedJob(loaded.jobSpec, loaded.originOf);
    const lines = resolved.split('\n');
    for (const line of [
      'steps = 7 # --set',
      'seed = 42 # default',
      'numLayers = 2 # job.toml:5:1',
      'mlp = 704 # from model.dModel',
      '# tokenizer is not set # default',
      'betas = [0.9, 0.95] # default',
      'eps = 1e-8 # default',
      `path = "${join(folder, 'text.txt')}" # job.toml:2:1`,
      '  { use = "lightning" },',
      `  { use = "${join(folder, "it's.ts")}", deep = { "a b" = [1, 2.5] } },`,
      '] # job.toml:4:1',
    ]) {
      assert.ok(lines.includes(line), `${line}\nis not in\n${resolved}`);
    }

    writeFileSync('resolved.toml', resolved);
    const again = await checkJob(readDocument('resolved.toml'), [], '/', installedForTest);
    const [, mine] = loaded.jobSpec.model.layers;
    const byPath = [loaded.jobSpec.model.layers[0]!, { ...mine!, use: mine!.file! }];
    assert.equal(again.jobSpec, { ...loaded.jobSpec, model: { ...loaded.jobSpec.model, layers: byPath } });
    assert.is(
      jobHash(again.jobSpec),
      jobHash(loaded.jobSpec),
      'the run can be continued from its own folder',
    );
    assert.equal(findDrift(loaded.jobSpec, again.jobSpec), []);
  });
});

test('the hash holds still for what a resumption may change, and for nothing else', async () => {
  await inJobFolder({ 'job.toml': '[data]\npath = "text.txt"\nbatchSize = 2' }, async (folder) => {
    const load = async (...set: string[]) =>
      (await checkJob(readDocument('job.toml'), set.map(parseSet), folder, installedForTest)).jobSpec;
    const base = await load();
    const allowed = [
      'job.steps=3',
      'launch.stopTimeoutMs=5',
      'checkpoint.every=1',
      'model.recompute=true',
      'model.recomputedBlocks=1',
      'parallel.sp=2',
      'parallel.dp=2',
    ];
    assert.is(jobHash(await load(...allowed, 'parallel.strategy=ring')), jobHash(base));
    const drifted = await load('job.seed=1', 'optimizer.lr=0.5', 'model.layer.gla.expandK=1', 'job.steps=3');
    assert.is.not(jobHash(drifted), jobHash(base));
    assert.equal(
      findDrift(base, drifted).filter(({ key }) => !key.startsWith('model.layers')),
      [
        { key: 'job.seed', before: '42', now: '1' },
        { key: 'optimizer.lr', before: '0.001', now: '0.5' },
      ],
    );
    assert.equal(findDrift(base, drifted)[1], {
      key: 'model.layers.0.options.expandK',
      before: 'absent',
      now: '1',
    });
  });
});

test.run();
