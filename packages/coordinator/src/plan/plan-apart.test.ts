import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { LongscanError, type Plan } from '@longscan/worker/protocol';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { bundleLayers, withBundleFiles } from '../run-folder/bundle-layer.js';
import { loadJob } from '../spec/index.js';
import { until } from '../testing/processes.js';
import { planToRun } from './index.js';
import { planApart } from './plan-apart.js';

const folder = mkdtempSync(join(tmpdir(), 'longscan-plan-apart-'));
const temporary = join(folder, 'tmp');
mkdirSync(temporary);
// What is left behind is looked for there: other test files run at the same time.
process.env.TMPDIR = temporary;
writeFileSync(join(folder, 'text.txt'), 'the sea. '.repeat(100));
test.after(() => rmSync(folder, { recursive: true, force: true }));

/** A layer file with this code in its module and in what makes a layer, and a job of it. */
function write(name: string, { module = '', create = '' }: { module?: string; create?: string }): string {
  const layer = `
    import { writeFileSync } from 'node:fs';
    import { gatedLinear, linear, reshape } from '@longscan/kernels';
    import { defineLayer } from '@longscan/worker';
    ${module}
    const op = gatedLinear('identity');
    export default defineLayer({
      name: 'own',
      paper: 'https://arxiv.org/abs/2006.16236',
      transition: 'identity',
      config: { numHeads: 2 },
      create({ numHeads: H }, param) {
        ${create}
        const D = param.dModel;
        const weights = ['q', 'k', 'v'].map((part) => param.projection(part, D, D));
        return (x, context) => {
          const [B, T] = x.shape;
          const [q, k, v] = weights.map((weight) => reshape(linear({ x, weight, bias: null }), [B, T, H, D / H]));
          return reshape(context.recurrence(op, { q, k, v, g: null }), [B, T, D]);
        };
      },
    });`;
  writeFileSync(join(folder, `${name}.ts`), layer);
  const job = join(folder, `${name}.toml`);
  writeFileSync(
    job,
    `[model]\nlayers = "./${name}.ts"\ndModel = 16\nnumLayers = 1\nchunk = 16\n[data]\npath = "text.txt"\nsequenceLength = 64\n[parallel]\nsp = 2\n`,
  );
  return job;
}

async function plan(job: string, signal?: AbortSignal): Promise<Plan> {
  const { jobSpec } = await loadJob(job);
  const bundles = await bundleLayers(jobSpec.model.layers);
  return withBundleFiles(bundles, (modules) => planToRun(jobSpec, modules, undefined, signal));
}

async function refusal(job: string, signal?: AbortSignal): Promise<LongscanError> {
  try {
    await plan(job, signal);
  } catch (error) {
    assert.instance(error, LongscanError);
    return error as LongscanError;
  }
  return assert.unreachable('it was planned') as never;
}

const never = () => new AbortController().signal;
const leftovers = () => readdirSync(temporary);
const mark = join(folder, 'mark');
const endless = `writeFileSync(${JSON.stringify(mark)}, ''); for (;;);`;
const places: readonly ('module' | 'create')[] = ['module', 'create'];

test('a layer of the user ~> the plan and the errors that this thread has of it', async () => {
  const job = write('sound', {});
  assert.equal(await plan(job, never()), await plan(job));
  const wrong = write('wrong', { create: "throw new Error('out of ideas');" });
  const [apart, here] = [await refusal(wrong, never()), await refusal(wrong)];
  assert.equal([apart.code, apart.exitCode, apart.message], [here.code, here.exitCode, here.message]);
  assert.match(apart.message, 'out of ideas');
  assert.match(apart.message, join(folder, 'wrong.ts:'));
  assert.equal(leftovers(), []);
});

test('a layer that has a timer for ever ~> not waited for', async () => {
  const timer = write('timer', { module: 'setInterval(() => {}, 1);' });
  assert.ok((await plan(timer, never())).perRank.numParameters > 0);
});

test('what a layer throws beside its planning ~> E-PLUGIN with its file and line', async () => {
  const file = join(folder, 'beside.ts');
  for (const [thrown, found] of [
    ["new TypeError('beside')", 'TypeError: beside'],
    ["'text'", 'text'],
  ]) {
    const module = `process.nextTick(() => { throw ${thrown}; }); await new Promise((f) => setTimeout(f, 50));`;
    const { message, exitCode } = await refusal(write('beside', { module }), never());
    assert.match(message, `error[E-PLUGIN] ${file}: thrown beside the planning: ${found}`);
    assert.match(message, 'Fix: catch that in these files');
    if (thrown !== "'text'") assert.match(message, `${file}:`);
    assert.is(exitCode, 2);
    assert.equal(leftovers(), []);
  }
});

test('a thread that cannot be made ~> nothing left behind', async () => {
  const { jobSpec } = await loadJob(write('sound', {}));
  // No message carries a function.
  const request = { jobSpec, layerModules: {}, links: (() => {}) as never };
  const error = await planApart(request, never()).catch((cause) => cause);
  assert.is(error.name, 'DataCloneError');
  assert.equal(leftovers(), []);
});

for (const place of places) {
  test(`a layer that loops for ever in its ${place} ~> ended by the signal, nothing left behind`, async () => {
    rmSync(mark, { force: true });
    const controller = new AbortController();
    const refused = refusal(write('endless', { [place]: endless }), controller.signal);
    await until(() => existsSync(mark));
    controller.abort();
    const { code, exitCode } = await refused;
    assert.equal([code, exitCode], ['E-RUN-KILLED', 130]);
    assert.equal(leftovers(), []);
  });
}

test('a signal that came before ~> nothing is loaded', async () => {
  rmSync(mark, { force: true });
  assert.is((await refusal(write('endless', { module: endless }), AbortSignal.abort())).code, 'E-RUN-KILLED');
  assert.is(existsSync(mark), false);
});

test('a layer that ends what loads it ~> E-ENDED with its file', async () => {
  for (const [module, ended] of [
    ['process.exit(7);', 'exit code 7'],
    ['await new Promise(() => {});', 'exit code'],
  ] as const) {
    const { message } = await refusal(write('ending', { module }), never());
    assert.match(
      message,
      `error[E-ENDED] ${join(folder, 'ending.ts')}: the planning ended before there was a plan`,
    );
    assert.match(message, ended);
  }
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`train, a layer that loops for ever, ${signal} ~> ends at once, with no run and no temporary file`, async () => {
    rmSync(mark, { force: true });
    const job = write('endless', { module: endless });
    const bin = fileURLToPath(new URL('../../bin/longscan.js', import.meta.url));
    const started = spawn(process.execPath, [bin, 'train', job, '--run-dir', 'run'], {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let stderr = '';
    started.stderr.on('data', (text) => {
      stderr += text;
    });
    const deadline = setTimeout(() => started.kill('SIGKILL'), 200_000);
    const closed = once(started, 'close');
    let isOver = false;
    void closed.then(() => {
      isOver = true;
    });
    await until(() => isOver || existsSync(mark));
    started.kill(signal);
    const [exitCode] = await closed;
    clearTimeout(deadline);
    assert.is(exitCode, signal === 'SIGINT' ? 130 : 143, stderr);
    assert.match(stderr, 'the run was stopped before it was started');
    assert.is(existsSync(join(folder, 'run')), false);
    assert.equal(leftovers(), []);
  });
}

test.run();
