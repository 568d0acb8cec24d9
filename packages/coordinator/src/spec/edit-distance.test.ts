import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { closest, editDistance } from './edit-distance.js';

test('counts insertions, deletions, substitutions and swaps of neighbours', () => {
  const cases: [string, string, number][] = [
    ['', '', 0],
    ['', 'abc', 3],
    ['kitten', 'sitting', 3],
    ['setps', 'steps', 1],
    ['ca', 'abc', 3],
    ['lr', 'lr', 0],
  ];
  for (const [a, b, distance] of cases) {
    assert.is(editDistance(a, b), distance, `${a} -> ${b}`);
    assert.is(editDistance(b, a), distance, `${b} -> ${a}`);
  }
});

test('suggests the nearest word and nothing when none is near', () => {
  assert.is(closest('bacth', ['batch', 'bench', 'path']), 'batch');
  assert.is(closest('d_model', ['numHeads', 'dModel']), 'dModel');
  assert.is(closest('strategy', ['sp', 'dp']), null);
  assert.is(closest('ab', ['xy']), null);
  assert.is(closest('x'.repeat(100_000), ['xx']), null, 'a huge key costs nothing');
});

test('another name of ours is no slip of a third one', () => {
  assert.is(closest('GPU', ['cpu', 'cuda']), 'cuda');
  assert.is(closest('gpu', ['cpu']), 'cpu');
});

test.run();
