import { spawn } from 'node:child_process';
import { mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { RunEvent } from './run-folder/events.js';

/** The program with real ranks, from a job file to generated text. */

const bin = fileURLToPath(new URL('../bin/longscan.js', import.meta.url));
const folder = realpathSync(mkdtempSync(join(tmpdir(), 'longscan-training-')));
const deadlineMs = 300_000;

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the program; `onLine` sees its standard output as it comes and may send it a signal. */
async function longscan(
  args: readonly string[],
  onLine: (line: string, kill: (signal: NodeJS.Signals) => void) => void = () => {},
): Promise<Ended> {
  const child = spawn(process.execPath, [bin, ...args], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
  const deadline = setTimeout(() => child.kill('SIGKILL'), deadlineMs);
  const lines: string[] = [];
  let stderr = '';
  child.stderr.on('data', (text) => {
    stderr += text;
  });
  createInterface({ input: child.stdout }).on('line', (line) => {
    lines.push(line);
    onLine(line, (signal) => child.kill(signal));
  });
  const status = await new Promise<number | null>((resolve) => child.once('close', resolve));
  clearTimeout(deadline);
  return { status, stdout: lines.join('\n'), stderr };
}

function eventsOf({ stdout }: Ended): RunEvent[] {
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as RunEvent);
}

function stepsOf(ended: Ended): number[] {
  return eventsOf(ended).flatMap((event) => (event.event === 'step' ? [event.step] : []));
}

const test = suite('cli with ranks');
test.before(() => {
  const words = ['all', 'visible', 'objects', 'are', 'but', 'as', 'pasteboard', 'masks'];
  const text = Array.from({ length: 3000 }, (_, i) => words[(i * i + 3 * i) % words.length]).join(' ');
  writeFileSync(join(folder, 'text.txt'), text);
  const job = [
    '[job]',
    'name = "small"',
    'steps = 6',
    '[data]',
    'path = "text.txt"',
    'sequenceLength = 256',
    '[model]',
    'dModel = 32',
    'numLayers = 2',
    'layers = ["gla", "lightning"]',
    '[parallel]',
    'sp = 2',
    'strategy = "all-scan"',
  ];
  writeFileSync(join(folder, 'job.toml'), job.join('\n'));
});
test.after(() => rmSync(folder, { recursive: true, force: true }));

test('train: every event as JSON, exit code 0', async () => {
  const ended = await longscan(['train', 'job.toml', '--json', '--run-dir', 'first']);
  assert.is(ended.stderr, '');
  assert.is(ended.status, 0);
  assert.equal(stepsOf(ended), [1, 2, 3, 4, 5, 6]);
  const events = eventsOf(ended);
  const [run] = events;
  assert.ok(run?.event === 'run' && run.schema === 1);
  assert.is(run.runDir, join(folder, 'first'));
  const done = events.at(-1);
  assert.ok(done?.event === 'done' && done.step === 6);
  assert.is(done.checkpoint, join(folder, 'first/checkpoints/step-000006'));
});

test('status, logs and ckpt show the run', async () => {
  const status = JSON.parse((await longscan(['status', 'first', '--json'])).stdout);
  assert.equal([status.state, status.step, status.steps, status.numRanks], ['done', 6, 6, 2]);
  const { logs } = JSON.parse((await longscan(['logs', 'first', '--json', '--rank', '1'])).stdout);
  assert.equal(
    logs.map(({ rank }: { rank: number }) => rank),
    [1],
  );
  assert.match(logs[0].lines[0], 'rank 1 of 2');
  const list = JSON.parse((await longscan(['ckpt', 'ls', 'first', '--json'])).stdout);
  assert.equal(
    list.checkpoints.map((one: { step: number; isCommitted: boolean }) => [one.step, one.isCommitted]),
    [[6, true]],
  );
  const verified = await longscan(['ckpt', 'verify', './first', '--json']);
  assert.is(verified.status, 0);
  assert.is(JSON.parse(verified.stdout).valid, true);
});

test('generate: the same seed gives the same text', async () => {
  const args = ['generate', './first', '--prompt', 'all visible ', '--tokens', '12', '--json', '--seed', '5'];
  const { status, stdout, stderr } = await longscan(args);
  assert.is(stderr, '');
  assert.is(status, 0);
  const { text } = JSON.parse(stdout);
  assert.ok(text.length > 0);
  assert.is(JSON.parse((await longscan(args)).stdout).text, text);
});

test('a run folder that holds a run is not overwritten', async () => {
  const { status, stderr } = await longscan(['train', 'job.toml', '--run-dir', 'first']);
  assert.is(status, 3);
  assert.match(stderr, /^error\[E-LOCK\] .*first: the folder holds an earlier run/);
});

test('Ctrl-C saves and stops, --resume goes on from there', async () => {
  const long = ['--set', 'job.steps=100000', '--run-dir', 'second', '--json'];
  const stopped = await longscan(['train', 'job.toml', ...long], (line, kill) => {
    if (line.includes('"event":"step","step":3,')) kill('SIGINT');
  });
  assert.is(stopped.status, 130);
  const last = stepsOf(stopped).at(-1) ?? 0;
  const done = eventsOf(stopped).at(-1);
  assert.ok(done?.event === 'done' && !done.finished && done.step === last);

  const more = ['--set', `job.steps=${last + 2}`, '--run-dir', 'second', '--json'];
  const resumed = await longscan(['train', 'job.toml', ...more, '--resume']);
  assert.is(resumed.stderr, '');
  assert.is(resumed.status, 0);
  assert.equal(stepsOf(resumed), [last + 1, last + 2]);

  const drifted = await longscan(['resume', 'second', '--set', 'job.seed=7', '--set', 'job.steps=200000']);
  assert.is(drifted.status, 2);
  assert.match(drifted.stderr, 'error[E-RESUME-DRIFT]');
  assert.match(drifted.stderr, 'job.seed was 42 and is 7');
});

test('stop, from another process', async () => {
  let stopping: Promise<Ended> | null = null;
  const args = ['train', 'job.toml', '--set', 'job.steps=100000', '--run-dir', 'third', '--json'];
  const ended = await longscan(args, (line) => {
    if (line.includes('"event":"step"')) stopping ??= longscan(['stop', 'third', '--json']);
  });
  assert.is(ended.status, 0);
  const told = (await stopping) as Ended | null;
  assert.is(told?.status, 0);
  assert.is(JSON.parse(told?.stdout ?? '').state, 'stopped');
});

test('layers check: what fails is a result, and the exit code tells', async () => {
  writeFileSync(
    join(folder, 'leaky.ts'),
    [
      "import { defineLayer } from '@longscan/worker';",
      'export default defineLayer({',
      "  name: 'leaky', paper: '', transition: 'identity', config: {},",
      "  create: () => { throw new Error('no such thing'); },",
      '});',
    ].join('\n'),
  );
  const { status, stdout } = await longscan(['layers', 'check', './leaky.ts', '--json']);
  assert.is(status, 2);
  const { layer, numFailed, results } = JSON.parse(stdout);
  assert.equal([layer, numFailed], ['leaky', 1]);
  assert.match(results[0].detail, /^no such thing \(.*leaky\.ts:4:\d+\)$/);
  const missing = await longscan(['layers', 'check', 'rwkv']);
  assert.is(missing.status, 2);
  assert.match(
    missing.stderr,
    'error[E-PLUGIN] rwkv: no such file, expected a layer file, or one of based, ',
  );
  writeFileSync(join(folder, 'no-layer.toml'), '');
  const other = await longscan(['layers', 'check', './no-layer.toml']);
  assert.is(other.status, 2);
  assert.match(other.stderr, /E-PLUGIN.*No loader.*\. Fix: name a \.ts or \.js file that holds a layer/);
});

test.run();
