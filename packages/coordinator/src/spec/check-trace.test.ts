import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { jobHash } from './job-hash.js';
import { checkToml, messageOf } from './testing.js';

const job = '[job]\nsteps = 2000\n[data]\npath = "text.txt"\n';

test('steps to trace ~> one, or the first and the last', async () => {
  for (const trace of ['7', '5-10', '2000', '1001-2000', '1999-2500']) {
    assert.is((await checkToml(job, [`job.trace=${trace}`])).jobSpec.job.trace, trace);
  }
  assert.is((await checkToml(job)).jobSpec.job.trace, null);
});

for (const [trace, expected] of [
  ['10-5', /E-CFG-VALUE\] --set job\.trace: "10-5", expected the first step in front .* Fix: "5-10"/],
  ['2001', /E-CFG-VALUE\] --set job\.trace: "2001", expected a step that the job has, which has 2000/],
  ['1-1001', /E-CFG-VALUE\] --set job\.trace: "1-1001", expected at most 1000 steps/],
  ['0-3', /job\.trace: "0-3" \(a string\), expected a step, or the first and the last of several/],
  ['5-', /job\.trace: "5-" \(a string\), expected a step, or the first and the last of several/],
  ['all', /job\.trace: "all" \(a string\), expected a step, or the first and the last of several/],
] as const) {
  test(`steps to trace ~> ${trace} is refused`, async () => {
    const lines = await messageOf(() => checkToml(job, [`job.trace=${trace}`]));
    assert.is(lines.length, 1);
    assert.match(lines[0]!, expected);
  });
}

test('a run may be resumed with a trace', async () => {
  const { jobSpec } = await checkToml(job);
  assert.is(jobHash({ ...jobSpec, job: { ...jobSpec.job, trace: '5-10' } }), jobHash(jobSpec));
});

test.run();
