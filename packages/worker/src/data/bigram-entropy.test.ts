import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { bigramEntropy } from './bigram-entropy.js';
import { uniformDraws } from './permutation.js';
import { openText } from './text-source.js';

const dir = mkdtempSync(path.join(os.tmpdir(), 'longscan-bigram-'));
test.after(() => rmSync(dir, { recursive: true }));

function entropyOf(content: Uint8Array | string): number {
  const file = path.join(dir, 'text');
  writeFileSync(file, content);
  const text = openText({ path: file, validation: 0, sequenceLength: 1 });
  try {
    return bigramEntropy(text.training);
  } finally {
    text.close();
  }
}

test('is zero when each byte tells the next', () => {
  assert.is(entropyOf('abcabcabcabc'), 0);
});

test('is exact on a text small enough to do by hand', () => {
  // Pairs: aa, ab, ba, ab. After a: a once, b twice; after b: always a.
  const expected = -(Math.log(1 / 3) + 2 * Math.log(2 / 3)) / 4;
  assert.ok(Math.abs(entropyOf('aabab') - expected) < 1e-15);
});

test('nears ln 4 for independent bytes of four kinds, across block borders', () => {
  const draw = uniformDraws(7);
  const entropy = entropyOf(Uint8Array.from({ length: (1 << 20) + 77 }, () => draw(4)));
  assert.ok(Math.abs(entropy - Math.log(4)) < 1e-4, String(entropy));
});

test.run();
