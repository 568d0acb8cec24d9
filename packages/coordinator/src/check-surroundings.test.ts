import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LongscanError } from '@longscan/worker/protocol';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { besideSurroundings } from './check-surroundings.js';
import { launch } from './launch.js';

const folder = mkdtempSync(join(tmpdir(), 'longscan-surroundings-'));
const prevFolder = process.cwd();
const prev = {
  TMPDIR: process.env.TMPDIR,
  LONGSCAN_ADDON: process.env.LONGSCAN_ADDON,
  NODE_OPTIONS: process.env.NODE_OPTIONS,
};
const test = suite('surroundings');
test.before(() => {
  process.chdir(folder);
  writeFileSync('text.txt', 'the sea, the sea. '.repeat(100));
  writeFileSync('no-library.node', 'text');
});
test.after.each(() => {
  for (const [name, value] of Object.entries(prev)) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
});
test.after(() => {
  process.chdir(prevFolder);
  rmSync(folder, { recursive: true });
});

const job = {
  job: { name: 'tiny', steps: 1 },
  model: { dModel: 16, numLayers: 1, numHeads: 2, chunk: 16, mlp: 0 },
  data: { path: 'text.txt', sequenceLength: 64 },
};

for (const [name, value, message] of [
  ['TMPDIR', 'nowhere', /^error\[E-DISK\] nowhere: a folder that is not there .* choose another TMPDIR$/],
  ['LONGSCAN_ADDON', 'none.node', /^error\[E-ADDON\] native addon: .*none\.node \(no such file\).* Fix: /],
  ['LONGSCAN_ADDON', join(folder, 'no-library.node'), /^error\[E-ADDON\] .*no-library\.node \(.* Fix: /],
  ['NODE_OPTIONS', '--no-such-flag', /^error\[E-DIED\] native addon: its process ended .* Fix: .* memory /],
] as const) {
  test(`${name}=${value} ~> refused before there is a run folder`, async () => {
    process.env[name] = value;
    for (const runDir of [undefined, 'mine']) {
      const error = await launch(job, { runDir }).catch((cause: unknown) => cause);
      assert.instance(error, LongscanError);
      assert.match((error as LongscanError).message, message);
      assert.is((error as LongscanError).exitCode, 3);
    }
    assert.equal(readdirSync(folder).sort(), ['no-library.node', 'text.txt']);
  });
}

const wrongJob = new LongscanError({ code: 'E-SHAPE', where: 'job', found: 'wrong' });
/** Plans that fail at once, and only when they are ended. */
const failing: readonly ((signal: AbortSignal) => Promise<never>)[] = [
  () => Promise.reject(wrongJob),
  async (signal) => {
    if (!signal.aborted) await once(signal, 'abort');
    throw wrongJob;
  },
];
const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => 'none',
    ({ code }: LongscanError) => code,
  );

for (const [index, plan] of failing.entries()) {
  test(`no library, and planning that fails (${index}) ~> told of the library, whichever is first`, async () => {
    process.env.LONGSCAN_ADDON = 'none.node';
    assert.is(await codeOf(besideSurroundings('tiny', undefined, plan)), 'E-ADDON');
    assert.is(await codeOf(besideSurroundings('tiny', new AbortController().signal, plan)), 'E-ADDON');
    assert.is(await codeOf(besideSurroundings('tiny', AbortSignal.abort(), plan)), 'E-RUN-KILLED');
  });
}

test('all that is needed, and planning that fails ~> what that says', async () => {
  assert.is(await codeOf(besideSurroundings('tiny', undefined, failing[0]!)), 'E-SHAPE');
  assert.is(await besideSurroundings('tiny', undefined, async () => 'planned'), 'planned');
});

test('a library that hangs, and a stop ~> told as that, the process that tries it ended', async () => {
  // Opening a pipe that nobody writes to waits for ever.
  const pipe = join(folder, 'pipe.node');
  execFileSync('mkfifo', [pipe]);
  process.env.LONGSCAN_ADDON = pipe;
  for (const delayMs of [0, 500]) {
    const controller = new AbortController();
    const ended = launch(job, { signal: controller.signal }).catch((cause: unknown) => cause);
    setTimeout(() => controller.abort(), delayMs);
    const error = await ended;
    assert.instance(error, LongscanError);
    assert.equal([(error as LongscanError).code, (error as LongscanError).exitCode], ['E-RUN-KILLED', 130]);
  }
  assert.equal(readdirSync(folder).sort(), ['no-library.node', 'pipe.node', 'text.txt']);
});

test.run();
