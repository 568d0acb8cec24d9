import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { checkToml, messageOf } from './testing.js';

const good = '[data]\npath = "text.txt"\n[model]\nnumLayers = 4\n';

test('recomputed blocks ~> all unless the job says how many', async () => {
  assert.is((await checkToml(good, ['model.recompute=cheap'])).jobSpec.model.recomputedBlocks, 'all');
  for (const recompute of ['cheap', 'true']) {
    const sets = [`model.recompute=${recompute}`, 'model.recomputedBlocks=4'];
    assert.is((await checkToml(good, sets)).jobSpec.model.recomputedBlocks, 4);
  }
});

for (const [sets, expected] of [
  [
    ['model.recomputedBlocks=2'],
    /: 2 with model\.recompute = false, expected "all": .* Fix: model\.recomputedBlocks = "all", or /,
  ],
  [
    ['model.recomputedBlocks=5', 'model.recompute=cheap'],
    /: 5 with model\.numLayers = 4, expected at most 4\. Fix: /,
  ],
] as const) {
  test(`recomputed blocks ~> ${sets.join(', ')} is refused`, async () => {
    const errors = await messageOf(() => checkToml(good, sets));
    assert.is(errors.length, 1);
    assert.match(errors[0]!, 'error[E-CFG-VALUE] --set model.recomputedBlocks: ');
    assert.match(errors[0]!, expected);
  });
}

for (const value of ['0', '-1', '2.5', 'most']) {
  test(`recomputed blocks ~> ${value} is none or no number of them`, async () => {
    const sets = ['model.recompute=cheap', `model.recomputedBlocks=${value}`];
    const [message] = await messageOf(() => checkToml(good, sets));
    assert.match(message!, /^error\[E-CFG-(TYPE|RANGE|VALUE)\] --set model\.recomputedBlocks: /);
  });
}

test.run();
