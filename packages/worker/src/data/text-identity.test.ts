import {
  appendFileSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Texts } from '../protocol/texts.js';
import { uniformDraws } from './permutation.js';
import { readFully } from './read-fully.js';
import { openText, type TextOptions, type TextParts } from './text-source.js';

const dir = mkdtempSync(join(tmpdir(), 'longscan-identity-'));
test.after(() => rmSync(dir, { recursive: true }));

const path = join(dir, 'text');
const heldOut = join(dir, 'held-out');
const jsonl = (...texts: string[]) => texts.map((text) => `${JSON.stringify({ text })}\n`).join('');

/** A text by its format, and what somebody appends to it. */
const kinds: Readonly<Record<string, { first: string; more: string; options: Partial<TextOptions> }>> = {
  bytes: { first: 'the sea, the sea. '.repeat(90), more: 'a whale', options: {} },
  separator: {
    first: 'CHAPTER 1 sea CHAPTER 2 ship CHAPTER 3 whale CHAPTER',
    more: ' 4 deep CHAPTER 5',
    options: { separator: 'CHAPTER ' },
  },
  // Half a line more: somebody is writing it.
  jsonl: { first: jsonl('sea', 'ship', 'whale'), more: '{"text":"dee', options: { format: 'jsonl' } },
};

const optionsOf = (options: Partial<TextOptions>): TextOptions => ({
  ...{ path, validation: 0.4, sequenceLength: 8 },
  ...options,
});

/** Both parts of a text, and where their documents start. */
function contentsOf(options: TextOptions, texts: Texts | null): unknown[] {
  const parts = openText(options, texts);
  const contents = [parts.training, parts.validation!].map((part) => [
    Buffer.from(part.read(0, part.numBytes)).toString(),
    part.documents && [...part.documents.between(0, part.numBytes)],
  ]);
  const again = parts.texts;
  parts.close();
  assert.equal(again, texts ?? again, 'they are known by the same as before');
  return contents;
}

function opened(options: TextOptions): Omit<TextParts, 'close'> {
  const parts = openText(options);
  parts.close();
  return parts;
}

function refusal(options: TextOptions, texts: Texts): string {
  try {
    openText(options, texts).close();
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error('openText accepted it');
}

for (const [kind, { first, more, options: chosen }] of Object.entries(kinds)) {
  const options = optionsOf(chosen);

  test(`${kind}, grown since it was opened ~> read as it was then`, () => {
    writeFileSync(path, first);
    const before = contentsOf(options, null);
    const { texts } = opened(options);
    appendFileSync(path, more);
    assert.equal(contentsOf(options, texts), before);
  });

  test(`${kind}, shorter or another than it was ~> E-DATA-CHANGED, whatever it would be taken for`, () => {
    writeFileSync(path, first);
    const { texts } = opened(options);
    truncateSync(path, 20);
    assert.match(
      refusal(options, texts),
      `error[E-DATA-CHANGED] ${path}: 20 bytes, where it had ${first.length}, expected the file as it was`,
    );
    writeFileSync(path, 'x'.repeat(first.length + 1));
    assert.match(refusal(options, texts), 'E-DATA-CHANGED');
    assert.match(refusal(options, texts), 'other contents');
  });
}

test('a validation text of its own ~> held to what it was as well', () => {
  const options = optionsOf({ validation: heldOut });
  writeFileSync(path, kinds.bytes!.first);
  writeFileSync(heldOut, 'ten bytes.');
  const { texts } = opened(options);
  appendFileSync(heldOut, 'and more');
  const parts = openText(options, texts);
  assert.is(parts.validation!.numBytes, 10);
  parts.close();
  writeFileSync(heldOut, 'ten Bytes.');
  assert.match(refusal(options, texts), `error[E-DATA-CHANGED] ${heldOut}: other contents`);
});

test('a large text ~> a change in its beginning, middle or end is seen', () => {
  const draw = uniformDraws(5);
  const large = Buffer.from(Uint8Array.from({ length: 3_000_001 }, () => draw(256)));
  const options = optionsOf({});
  writeFileSync(path, large);
  const { texts } = opened(options);
  openText(options, texts).close();
  for (const begin of [0, 1_450_000, large.length - 1]) {
    // The middle is changed for longer than there is between two stretches.
    const length = begin === 1_450_000 ? 50_000 : 1;
    const changed = Buffer.from(large);
    for (let i = begin; i < begin + length; i++) changed[i]! ^= 1;
    writeFileSync(path, changed);
    assert.match(refusal(options, texts), 'other contents', `from byte ${begin}`);
  }
});

test('documents that start elsewhere ~> seen, be it between the stretches that are looked at', () => {
  const text = Buffer.from('.'.repeat(3_000_000));
  const chapter = 'CHAPTER ';
  const at = (offset: number) => {
    const changed = Buffer.from(text);
    for (const place of [0, 1_000_000, offset]) changed.write(chapter, place);
    writeFileSync(path, changed);
  };
  const options = optionsOf({ separator: chapter });
  at(500_000);
  const { texts } = opened(options);
  const sampled = texts.path.sha256;
  // Of 64 stretches of 16 KiB: 31,000 bytes of no stretch follow each.
  const offset = Array.from({ length: 40 }, (_, i) => 500_000 + (i + 1) * 1000).find((place) => {
    at(place);
    return opened(options).texts.path.sha256 === sampled;
  });
  assert.ok(offset !== undefined, 'some place is in no stretch');
  assert.match(refusal(options, texts), 'documents that start elsewhere');
});

test('a file that cannot be read ~> E-DATA-READ with the reason', () => {
  const fd = openSync(dir, 'r');
  assert.throws(() => readFully(dir, fd, 7, 1), /error\[E-DATA-READ\] .*: byte 7 cannot be read \(EISDIR\)/);
});

test('what is known of a text depends on its bytes alone', () => {
  writeFileSync(path, kinds.bytes!.first);
  const { texts } = opened(optionsOf({}));
  const copy = join(dir, 'copy');
  writeFileSync(copy, readFileSync(path));
  assert.equal(opened(optionsOf({ path: copy })).texts, texts);
});

test.run();
