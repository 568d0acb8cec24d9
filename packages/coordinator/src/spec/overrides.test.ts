import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parseSet, readEnvironment, readOverrides } from './overrides.js';
import { messageOf } from './testing.js';

test('--set: a text key takes the raw text, everything else is TOML, else a string', () => {
  const cases: [string, unknown][] = [
    ['job.name=2024', '2024'],
    ['data.path=a=b.txt', 'a=b.txt'],
    ['parallel.strategy=ring', 'ring'],
    ['job.steps=100', 100],
    ['optimizer.lr=1e-3', 1e-3],
    ['optimizer.betas=[0.9, 0.99]', [0.9, 0.99]],
    ['parallel.blocks=auto', 'auto'],
    ['parallel.blocks=8', 8],
    ['data.packing=true', true],
    ['model.layers=["gla", "lightning"]', ['gla', 'lightning']],
    ['model.layers=gla', 'gla'],
    ['model.layer.gla.expandK=0.5', 0.5],
    ['job.steps=10k', '10k'],
    ['job.steps=1\nmore = 2', '1\nmore = 2'],
    ['job.seed=99999999999999999999', 99999999999999999999n],
  ];
  for (const [text, value] of cases) assert.equal(parseSet(text).value, value, text);
});

test('--set without a key or a value', async () => {
  const fix = 'expected --set section.key=value. Fix: for example --set job.steps=100';
  const cases = {
    'job.steps': 'no "="',
    'steps=5': 'no key of the form section.key',
    '=5': 'no key of the form section.key',
  };
  for (const [text, found] of Object.entries(cases)) {
    assert.equal(await messageOf(async () => parseSet(text)), [
      `error[E-CLI-SET] --set ${text}: ${found}, ${fix}`,
    ]);
  }
});

test('the environment spells keys in capitals, with or without underscores', () => {
  const env = {
    LONGSCAN_DATA__BATCH_SIZE: '4',
    LONGSCAN_DATA__SEQUENCELENGTH: '128',
    LONGSCAN_JOB__NAME: '7',
    LONGSCAN_SYNC: '1',
    HOME: '/root',
  };
  const read = readEnvironment(env).map(({ path, value }) => [path.join('.'), value]);
  assert.equal(read, [
    ['data.batchSize', 4],
    ['data.sequenceLength', 128],
    ['job.name', '7'],
  ]);
});

test('a script gives values, not texts', () => {
  const [override] = readOverrides({ 'job.name': 'x', 'job.steps': 3 }).slice(1);
  assert.equal(override, { path: ['job', 'steps'], value: 3, origin: { kind: 'script' } });
});

test.run();
