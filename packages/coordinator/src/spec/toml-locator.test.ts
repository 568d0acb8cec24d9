import { parse, stringify } from 'smol-toml';
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

/** A small generator of the usual linear congruential kind: the same documents on every run. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const keyParts = ['a', 'b-c', 'd e', 'x.y', '"', "it's", '[t]', '#', '='];
const texts = ['', 'plain', 'with # hash', '[x]', '"quoted"', "it's", 'two\nlines', '{ a = 1 }', 'end \\'];

function randomTable(random: (below: number) => number, depth: number): Record<string, unknown> {
  const entries = Array.from({ length: 1 + random(4) }, () => {
    const key = keyParts[random(keyParts.length)] ?? '';
    const kind = random(depth > 0 ? 6 : 4);
    if (kind === 0) return [key, random(1000)];
    if (kind === 1) return [key, random(2) === 0];
    if (kind === 2) return [key, texts[random(texts.length)]];
    if (kind === 3) return [key, Array.from({ length: random(4) }, () => texts[random(texts.length)])];
    if (kind === 4) return [key, Array.from({ length: 1 + random(2) }, () => randomTable(random, depth - 1))];
    return [key, randomTable(random, depth - 1)];
  });
  return Object.fromEntries(entries);
}

function* scalars(node: unknown, path: readonly string[] = []): Generator<[string, unknown]> {
  if (typeof node !== 'object' || node === null) yield [path.join('.'), node];
  else for (const [key, value] of Object.entries(node)) yield* scalars(value, [...path, key]);
}

test('every value of 300 random documents is found where it is written', () => {
  const random = randomNumbers(42);
  for (let i = 0; i < 300; i++) {
    const text = stringify(randomTable(random, 3));
    const places = locateTomlKeys(text);
    const lines = text.split('\n');
    for (const [path, value] of scalars(parse(text))) {
      const at = places.get(path)?.value;
      assert.ok(at, `${path} is not found in\n${text}`);
      const written = stringify({ value }).replace('value = ', '').trimEnd();
      const rest = [lines[at.line - 1]?.slice(at.column - 1), ...lines.slice(at.line)].join('\n');
      assert.is(rest.slice(0, written.length), written, `${path} in\n${text}`);
    }
  }
});

test.run();
