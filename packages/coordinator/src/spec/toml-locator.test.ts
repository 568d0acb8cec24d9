import { parse } from 'smol-toml';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { locateTomlKeys } from './toml-locator.js';

/** The key's and the value's place as `line:column line:column`. */
function place(text: string, path: string): string | undefined {
  parse(text);
  const found = locateTomlKeys(text).get(path);
  return found && `${found.key.line}:${found.key.column} ${found.value.line}:${found.value.column}`;
}

test('keys under sections, with comments and odd spacing', () => {
  const text = '# a comment with [x] and y = 1\n[job]\n  steps   =   10 # ten\n\n[ data ]\npath = "a"\n';
  assert.is(place(text, 'job.steps'), '3:3 3:15');
  assert.is(place(text, 'data'), '5:1 5:1');
  assert.is(place(text, 'data.path'), '6:1 6:8');
});

test('dotted, quoted and sub-table keys', () => {
  const text = 'job.steps = 1\n[model.layer."my layer"]\n\'expand K\' = 2\n[model.layer.gla]\nexpandK = 1';
  assert.is(place(text, 'job.steps'), '1:1 1:13');
  assert.is(place(text, 'model.layer.my layer.expand K'), '3:1 3:14');
  assert.is(place(text, 'model.layer.gla.expandK'), '5:1 5:11');
});

test('elements of lists over several lines and inside inline tables', () => {
  const text = 'layers = [\n  "gla", # ]\n  { use = "gla", expandK = 1 },\n]\nnext = true\n';
  assert.is(place(text, 'layers.0'), '2:3 2:3');
  assert.is(place(text, 'layers.1'), '3:3 3:3');
  assert.is(place(text, 'layers.1.expandK'), '3:18 3:28');
  assert.is(place(text, 'next'), '5:1 5:8');
});

test('brackets, quotes and hashes inside strings do not mislead', () => {
  const text = 'a = "]#\\"["\nb = \'\'\'\n[fake]\nc = 1\n\'\'\'\nd = """say "hi"""""\ne = 5\n';
  assert.is(place(text, 'b'), '2:1 2:5');
  assert.is(place(text, 'fake.c'), undefined);
  assert.is(place(text, 'd'), '6:1 6:5');
  assert.is(place(text, 'e'), '7:1 7:5');
});

test('arrays of tables are counted', () => {
  const text = '[[run]]\nx = 1\n[[run]]\nx = 2\n';
  assert.is(place(text, 'run.0.x'), '2:1 2:5');
  assert.is(place(text, 'run.1.x'), '4:1 4:5');
});

test.run();
