import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type JobSpec, LongscanError } from '@longscan/worker/protocol';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { loadCompute } from '../compute/load-compute.js';
import { loadFabric } from '../fabric/load-fabric.js';
import { bundleLayers, withBundleFiles } from '../run-folder/bundle-layer.js';
import type { StepCosts } from '../simulate/simulate-step.js';
import { loadJob } from '../spec/index.js';
import { until } from '../testing/processes.js';
import { call } from './computations.js';
import type { LayerCode } from './layer-code.js';
import { withLayerCode } from './with-layer-code.js';

const folder = mkdtempSync(join(tmpdir(), 'longscan-layer-code-'));
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

async function apart<T>(
  job: string,
  body: (code: LayerCode, jobSpec: JobSpec) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  const { jobSpec } = await loadJob(job);
  return withBundleFiles(await bundleLayers(jobSpec.model.layers), (modules) =>
    withLayerCode(modules, { name: jobSpec.job.name, signal }, (code) => body(code, jobSpec)),
  );
}

/** The same in this thread. */
async function here<T>(job: string, body: (code: LayerCode, jobSpec: JobSpec) => Promise<T>): Promise<T> {
  const { jobSpec } = await loadJob(job);
  return withBundleFiles(await bundleLayers(jobSpec.model.layers), (modules) =>
    body({ compute: (name, ...args) => call(modules, name, args) }, jobSpec),
  );
}

const planned = (code: LayerCode, jobSpec: JobSpec) => code.compute('planToRun', jobSpec);

async function refusal(job: string, signal?: AbortSignal, place = apart): Promise<LongscanError> {
  try {
    await place(job, planned, signal);
  } catch (error) {
    assert.instance(error, LongscanError);
    return error as LongscanError;
  }
  return assert.unreachable('it was planned') as never;
}

const leftovers = () => readdirSync(temporary);
const mark = join(folder, 'mark');
const endless = `writeFileSync(${JSON.stringify(mark)}, ''); for (;;);`;
const places: readonly ('module' | 'create')[] = ['module', 'create'];

const costs: StepCosts = { fabric: loadFabric('h100'), compute: loadCompute('cpu') };

test('a layer of the user ~> what this thread computes with it', async () => {
  const all = async (code: LayerCode, jobSpec: JobSpec) => {
    const plan = await code.compute('planJob', jobSpec);
    await code.compute('checkMemory', plan);
    return [
      plan,
      await planned(code, jobSpec),
      await code.compute('stepTime', plan),
      await code.compute('simulateStep', plan, costs),
      await code.compute('crossingsOf', jobSpec, costs.fabric),
      await code.compute('recordSchedules', plan),
    ];
  };
  const job = write('sound', {});
  assert.equal(await apart(job, all), await here(job, all));
  assert.equal(leftovers(), []);
});

test('a layer of the user that fails ~> the error that this thread has of it', async () => {
  const wrong = write('wrong', { create: "throw new Error('out of ideas');" });
  const [there, own] = [await refusal(wrong), await refusal(wrong, undefined, here)];
  assert.equal([there.code, there.exitCode, there.message], [own.code, own.exitCode, own.message]);
  assert.match(there.message, 'out of ideas');
  assert.match(there.message, join(folder, 'wrong.ts:'));
  assert.equal(leftovers(), []);
});

test('more than a rank may have ~> E-PLAN-MEMORY, also by what is free on GPUs', async () => {
  const gpu = {
    ...{ name: 'a GPU', capability: 90, totalBytes: 2 ** 20, freeBytes: 2 ** 20 },
    driverVersion: 1,
  };
  const gpus = [
    { ...gpu, kernels: { ok: true, value: null }, products: { ok: false, code: '', found: '' } },
  ] as const;
  const message = await apart(write('sound', {}), async (code, jobSpec) =>
    code.compute('checkMemory', await code.compute('planJob', jobSpec), gpus).catch((error) => error.message),
  );
  assert.match(message, /^error\[E-PLAN-MEMORY\] .*of the GPU with least free, over 2 ranks/);
});

test('a layer that has a timer for ever ~> not waited for', async () => {
  const timer = write('timer', { module: 'setInterval(() => {}, 1);' });
  assert.ok((await apart(timer, planned)).perRank.numParameters > 0);
});

test('what a layer throws beside its planning ~> E-PLUGIN with its file and line', async () => {
  const file = join(folder, 'beside.ts');
  for (const [thrown, found] of [
    ["new TypeError('beside')", 'TypeError: beside'],
    ["'text'", 'text'],
  ]) {
    const module = `process.nextTick(() => { throw ${thrown}; }); await new Promise((f) => setTimeout(f, 50));`;
    const { message, exitCode } = await refusal(write('beside', { module }));
    assert.match(message, `error[E-PLUGIN] ${file}: thrown beside the planning: ${found}`);
    assert.match(message, 'Fix: catch that in these files');
    if (thrown !== "'text'") assert.match(message, `${file}:`);
    assert.is(exitCode, 2);
    assert.equal(leftovers(), []);
  }
});

test('thrown between two computations ~> E-PLUGIN at the second', async () => {
  const module = "setTimeout(() => { throw new Error('between'); }, 1);";
  const message = await apart(write('between', { module }), async (code, jobSpec) => {
    await planned(code, jobSpec).catch(() => {});
    return planned(code, jobSpec).then(
      () => planned(code, jobSpec),
      (error) => error.message,
    );
  });
  assert.match(message, 'thrown beside the planning: Error: between');
});

test('what no message carries ~> told, and nothing left behind', async () => {
  const links = (() => {}) as never;
  const told = await apart(write('sound', {}), (code, jobSpec) =>
    code.compute('planToRun', jobSpec, links).then(String, ({ name }: Error) => name),
  );
  assert.is(told, 'DataCloneError');
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
    const { message } = await refusal(write('ending', { module }));
    assert.match(
      message,
      `error[E-ENDED] ${join(folder, 'ending.ts')}: the planning ended before it was done`,
    );
    assert.match(message, ended);
  }
});

const out = ['--out', 'curve'];
const few = ['--steps', '1', '--warmup', '0'];
const train = ['train', '--run-dir', 'run'];
const stops: readonly (readonly [readonly string[], NodeJS.Signals])[] = [
  [train, 'SIGINT'],
  [train, 'SIGTERM'],
  [['plan'], 'SIGINT'],
  [['doctor'], 'SIGTERM'],
  [['simulate', '--sp', '2'], 'SIGTERM'],
  [['scale', '--sp', '1,2', '--mode', 'strong', ...few, ...out], 'SIGINT'],
  [['bench', 'step', ...few], 'SIGTERM'],
  [['bench', 'step', ...few, '--save', 'costs.json'], 'SIGTERM'],
  [['bench', 'collectives'], 'SIGINT'],
];
for (const [args, signal] of stops) {
  test(`${args.join(' ')}, a layer that loops for ever, ${signal} ~> ends at once and leaves nothing`, async () => {
    rmSync(mark, { force: true });
    const job = write('endless', { module: endless });
    const before = readdirSync(folder);
    const bin = fileURLToPath(new URL('../../bin/longscan.js', import.meta.url));
    const started = spawn(process.execPath, [bin, ...args, job], {
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
    const words =
      args === train ? 'the run was stopped before it was started' : 'the planning was stopped, as asked';
    if (args[0] !== 'doctor') assert.match(stderr, words);
    rmSync(mark);
    assert.equal(readdirSync(folder), before);
    assert.equal(leftovers(), []);
  });
}

test.run();
