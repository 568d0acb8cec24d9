import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { checkToml, messageOf } from './testing.js';

const good = '[data]\npath = "text.txt"\n';
const errorsOf = (set: readonly string[]) =>
  messageOf(() => checkToml(good, ['model.timeSlice=1024', ...set]));

test('time slices ~> none unless the job says so; replicas, packing and cheap outputs may be had with them', async () => {
  assert.is((await checkToml(good)).jobSpec.model.timeSlice, 0);
  const more = ['parallel.dp=2', 'data.batchSize=2', 'model.recompute=cheap'];
  const { jobSpec } = await checkToml(good, ['model.timeSlice=1024', ...more]);
  assert.is(jobSpec.model.timeSlice, 1024);
});

for (const [key, value, message] of [
  ['parallel.sp', '2', /2 with model\.timeSlice = 1024, expected 1: .* Fix: parallel\.sp = 1 /],
  ['model.recompute', 'true', /true with .*expected false or "cheap": .* Fix: .*smaller model\.timeSlice/],
  ['model.objective', 'masked', /"masked" with .*Fix: model\.objective = "causal", or model\.timeSlice = 0/],
  ['job.deterministic', 'true', /true with .*Fix: job\.deterministic = false, or model\.timeSlice = 0/],
  ['data.carry', 'true', /true with .*Fix: data\.carry = false and a larger data\.sequenceLength/],
] as const) {
  test(`time slices ~> ${key} = ${value} is refused with them`, async () => {
    const errors = await errorsOf([`${key}=${value}`]);
    assert.is(errors.length, 1);
    assert.match(errors[0]!, `error[E-CFG-VALUE] --set ${key}: `);
    assert.match(errors[0]!, message);
  });
}

test('kept MLPs ~> of as many blocks as run theirs twice', async () => {
  const { jobSpec } = await checkToml(good, [
    'model.timeSlice=1024',
    'model.numLayers=4',
    'model.keptMlps=3',
  ]);
  assert.is(jobSpec.model.keptMlps, 3);
  for (const [set, expected] of [
    [['model.timeSlice=0'], /1 with model\.timeSlice = 0, expected 0: no block runs forward twice/],
    [['model.mlp=0'], /1 with model\.mlp = 0, expected 0: there are no MLPs/],
    [
      ['model.numLayers=1'],
      /1 with model\.numLayers = 1, expected at most 0: the last block's MLP runs once/,
    ],
  ] as const) {
    const errors = await errorsOf(['model.keptMlps=1', ...set]);
    assert.is(errors.length, 1);
    assert.match(errors[0]!, 'error[E-CFG-VALUE] --set model.keptMlps: ');
    assert.match(errors[0]!, expected);
  }
});

test('time slices ~> a negative length is refused', async () => {
  const [message] = await messageOf(() => checkToml(good, ['model.timeSlice=-1']));
  assert.match(message!, /E-CFG-RANGE.*model\.timeSlice/);
});

test.run();
