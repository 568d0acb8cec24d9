import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LongscanError } from '@longscan/worker/protocol';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { launch } from '../launch.js';
import { stepRows, Workshop } from './small-job.js';

const workshop = new Workshop();
test.after(() => workshop.remove());

/** A layer outside of the packages; its types are those of a user's editor and are stripped when it is bundled. */
function writeLayer(name: string, body: string): Readonly<Record<string, unknown>> {
  writeFileSync(
    join(workshop.dir, `${name}.ts`),
    `import { gatedLinear, linear, reshape, type Tensor } from '@longscan/kernels';
import { defineLayer } from '@longscan/worker';

const op = gatedLinear('identity');

export default defineLayer({
  name: '${name}',
  paper: 'https://arxiv.org/abs/2006.16236',
  transition: 'identity',
  config: { numHeads: 2 },
  create({ numHeads: H }, param) {
    const D = param.dModel;
    const weights = ['q', 'k', 'v'].map((part) => param.projection(part, D, D));
    return (x: Tensor, context): Tensor => {
      ${body}
    };
  },
});
`,
  );
  return { 'model.layers': `./${name}.ts` };
}

test('a layer of the user ~> trains over two ranks with the losses of one', async () => {
  const layer = writeLayer(
    'plain',
    `const [B, T] = x.shape as [number, number];
      const [q, k, v] = weights.map((w) => reshape(linear({ x, weight: w, bias: null }), [B, T, H, D / H]));
      return reshape(context.recurrence(op, { q: q!, k: k!, v: v!, g: null }), [B, T, D]);`,
  );
  const single = await workshop.train('own-1', { ...layer, 'job.steps': 5 });
  const cut = await workshop.train('own-2', { ...layer, 'job.steps': 5, 'parallel.sp': 2 });
  cut.steps.forEach((row, i) => {
    assert.ok(Math.abs(row.loss! / single.steps[i]!.loss! - 1) < 1e-4, `step ${row.step}: ${row.loss}`);
  });
});

test('examples/own-layer ~> a recurrence given token by token trains over two ranks with the losses of one', async () => {
  const job = fileURLToPath(new URL('../../../../examples/own-layer/job.toml', import.meta.url));
  const train = async (sp: number) => {
    const run = await launch(job, {
      runDir: join(workshop.dir, `stepwise-${sp}`),
      overrides: {
        ...{ 'job.steps': 3, 'parallel.sp': sp, 'parallel.strategy': 'all-gather' },
        ...{ 'data.path': join(workshop.dir, 'text.txt'), 'data.sequenceLength': 64 },
      },
    });
    await run.done;
    return stepRows(run.dir);
  };
  const [single, cut] = [await train(1), await train(2)];
  assert.is(cut.length, 3);
  cut.forEach((row, i) => {
    assert.ok(Math.abs(row.loss! / single[i]!.loss! - 1) < 1e-4, `step ${row.step}: ${row.loss}`);
  });
});

test('a layer of the user that throws ~> E-PLUGIN with the line of its own file, nothing launched', async () => {
  const layer = writeLayer('throws', "throw new Error('out of ideas');");
  try {
    await workshop.launch('throws', layer);
    assert.unreachable();
  } catch (error) {
    assert.instance(error, LongscanError);
    assert.is((error as LongscanError).code, 'E-PLUGIN');
    assert.is((error as LongscanError).exitCode, 2);
    assert.match((error as LongscanError).message, /out of ideas/);
    assert.ok((error as LongscanError).message.includes(`${join(workshop.dir, 'throws.ts')}:15:`));
    assert.not.match((error as LongscanError).message, 'load-layers', 'the lines of our own files');
  }
});

test.run();
