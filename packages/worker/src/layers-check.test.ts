import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LongscanError } from '@longscan/kernels';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { CheckResult } from './conformance/check.js';
import { runLayersCheck } from './layers-check.js';
import type { RankContext } from './rank-context.js';

/** Runs the task with a bundle in place of a layer file; gives what it reported. */
async function check(file: string, bundle: string | null) {
  const folder = mkdtempSync(join(tmpdir(), 'longscan-layers-check-'));
  const module = join(folder, 'bundle.mjs');
  if (bundle !== null) writeFileSync(module, bundle);
  const reports: unknown[] = [];
  const context = {
    assignment: { task: { kind: 'layers-check', file }, layerModules: { [file]: module } },
    control: { report: (message: unknown) => reports.push(message) },
    log: () => {},
  } as unknown as RankContext;
  try {
    await runLayersCheck(context);
  } finally {
    rmSync(folder, { recursive: true });
  }
  assert.is(reports.length, 1);
  return reports[0] as { type: string; result: { layer: string; results: CheckResult[] } };
}

async function refusal(file: string, bundle: string | null): Promise<LongscanError> {
  const error = await check(file, bundle).then(
    () => assert.unreachable('it was checked'),
    (reason: unknown) => reason,
  );
  assert.instance(error, LongscanError);
  return error as LongscanError;
}

const identity = `
import { defineLayer } from '@longscan/worker';
export default defineLayer({
  name: 'identity', paper: 'unpublished', transition: 'identity', config: {}, create: () => (x) => x,
});`;

test('layers-check ~> a failed check is a result with its reason, and the others are checked all the same', async () => {
  const { type, result } = await check('/somewhere/identity.ts', identity);
  assert.is(type, 'done');
  assert.is(result.layer, 'identity');
  const failed = result.results.filter(({ passed }) => !passed);
  assert.equal(
    failed.map((one) => one.check),
    ['defaults ~> its declaration fits what it does'],
  );
  assert.is(failed[0]!.detail, "'unpublished' is no URL of a paper");
  assert.ok(result.results.length > 15);
});

test('layers-check ~> a file that throws while it loads is told in one line, with that place of it', async () => {
  const { message } = await refusal('/somewhere/hasty.ts', 'const table = {};\ntable.decay[0] = 1;\n');
  assert.match(
    message,
    /^error\[E-PLUGIN\] layer hasty, \/.*:2:\d+: does not load: TypeError: Cannot .* Fix: correct that place of the file$/,
  );
  assert.not.match(message, '\n');
});

test('layers-check ~> what a file that loads has refused by an op keeps that remedy alone', async () => {
  const refused = `import { LongscanError } from '@longscan/kernels';
throw new LongscanError({ code: 'E-SHAPE', where: 'table', found: '3', expected: '4', exitCode: 1, fix: 'give 4' });`;
  const { message } = await refusal('/somewhere/hasty.ts', refused);
  assert.match(message, /^error\[E-SHAPE\] layer hasty, \/.*:2:7, table: 3, expected 4\. Fix: give 4$/);
});

test('layers-check ~> what a layer throws is told with the line of its own file', async () => {
  const throwing = identity.replace('() => (x) => x', '() => (x) => x.transposed(\n)');
  const { result } = await check('/somewhere/throwing.ts', throwing);
  const failed = result.results.filter(({ passed }) => !passed);
  assert.match(failed.at(-1)!.detail ?? '', /transposed is not a function \(\/.*longscan-layer.*:4:\d+\)$/);
});

const line = String.raw` \(/.*longscan-layer.*:LINE:\d+\)$`;
const misbehaving: readonly [fault: string, create: string, detail: string][] = [
  [
    'a wrong shape',
    '() => (x) => {\nreturn reshape(x, [x.size]); }',
    String.raw`the output is \[16\], expected \[1,1,16\]${line.replace('LINE', '5')}`,
  ],
  ['no tensor', '() => () => 1', 'the output is no tensor, expected'],
  [
    'state between calls',
    '() => { let calls = 0;\nreturn (x) => {\nreturn scale(x, ++calls); }; }',
    `something is kept between calls${line.replace('LINE', '6')}`,
  ],
  [
    'another name at each call',
    "(_, param) => {\nparam.tensor('extra' + Math.random(), [1], { constant: 0 }); return (x) => x; }",
    `a name not declared before.*${line.replace('LINE', '5')}`,
  ],
  [
    'another name in another place',
    "(_, param) => {\nparam.tensor('extra' + param.layer.index, [1], { constant: 0 }); return (x) => x; }",
    `layer 0 of 1 declares extra0, others extra8${line.replace('LINE', '5')}`,
  ],
];

for (const [fault, create, detail] of misbehaving) {
  test(`layers-check ~> ${fault} is told with a line of the layer's own file`, async () => {
    const layer = `import { reshape, scale } from '@longscan/kernels';${identity}`;
    const { result } = await check(
      '/somewhere/misbehaving.ts',
      layer.replace('() => (x) => x', () => create),
    );
    const details = result.results.flatMap((one) => one.detail ?? []);
    assert.ok(
      details.some((text) => new RegExp(detail, 's').test(text)),
      details.join('\n'),
    );
  });
}

test('layers-check ~> what is no layer is an error, not a result', async () => {
  assert.match(
    (await refusal('/somewhere/none.ts', null)).message,
    /error\[E-PLUGIN\] layer none: does not load/,
  );
  assert.match(
    (await refusal('/somewhere/other.ts', 'export default 1;')).message,
    /error\[E-PLUGIN\] layer other: a module without a layer/,
  );
  assert.match((await refusal('no-such-layer', null)).message, /error\[E-PLUGIN\] layer no-such-layer/);
});

test.run();
