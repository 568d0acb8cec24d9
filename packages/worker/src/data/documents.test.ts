import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { bigramEntropy } from './bigram-entropy.js';
import { DocumentStarts } from './document-starts.js';
import type { TextPart } from './text-part.js';
import { openText, type TextOptions } from './text-source.js';

const dir = mkdtempSync(path.join(os.tmpdir(), 'longscan-documents-'));
test.after(() => rmSync(dir, { recursive: true }));

function write(content: string): string {
  const file = path.join(dir, 'text');
  writeFileSync(file, content);
  return file;
}

type Choice = Omit<TextOptions, 'path' | 'validation' | 'sequenceLength'> & { validation?: number };

/** The documents of the parts of a text, as strings. */
function documentsOf(content: string, choice: Choice): { training: string[]; validation: string[] } {
  const parts = openText({ path: write(content), validation: 0, sequenceLength: 1, ...choice });
  const found = { training: cut(parts.training), validation: parts.validation ? cut(parts.validation) : [] };
  parts.close();
  return found;
}

function cut(part: TextPart): string[] {
  const { documents, numBytes } = part;
  const starts = [...documents!.between(0, numBytes)];
  return starts.map((start, i) => {
    const length = (starts[i + 1] ?? numBytes) - start;
    return Buffer.from(part.read(start, length)).toString();
  });
}

function failure(content: string, choice: Choice): string {
  try {
    documentsOf(content, choice);
  } catch (error) {
    return (error as Error).message.replaceAll(dir, '');
  }
  throw new Error('openText accepted it');
}

const jsonl = (...texts: string[]) => texts.map((text) => `${JSON.stringify({ id: 1, text })}\n`).join('');

test('document starts ~> found by offset, and cut with the text', () => {
  const documents = new DocumentStarts([0, 3, 4, 10]);
  assert.equal(
    [0, 2, 3, 4, 9, 10, 99].map((offset) => documents.indexAt(offset)),
    [0, 0, 1, 2, 2, 3, 3],
  );
  assert.equal([...documents.between(3, 10)], [3, 4]);
  const part = documents.part(4, 12);
  assert.equal([...part.between(0, 8)], [0, 6]);
  const middle = documents.part(5, 12);
  assert.equal([...middle.between(0, 7)], [0, 5], 'the rest of a document is one too');
});

test('separator ~> begins a document wherever it stands, also across the blocks in which a file is read', () => {
  const separator = 'CHAPTER ';
  const text = 'Title\nCHAPTER 1 sea CHAPTER 2 ship CHAPTER';
  assert.equal(documentsOf(text, { separator }).training, [
    'Title\n',
    'CHAPTER 1 sea ',
    'CHAPTER 2 ship CHAPTER',
  ]);
  assert.equal(documentsOf('ababaaab', { separator: 'aa' }).training, ['abab', 'aaab']);
  for (let shift = 0; shift <= separator.length; shift++) {
    const filler = 'x'.repeat((1 << 20) - shift);
    assert.equal(
      documentsOf(`${filler}${separator}end`, { separator }).training.map(({ length }) => length),
      [filler.length, separator.length + 3],
    );
  }
});

test('separator ~> one that begins no document is refused', () => {
  const message = failure('chapter 1, chapter 2', { separator: 'CHAPTER ' });
  assert.match(message, 'error[E-DATA-SEPARATOR] data.separator in /text: no "CHAPTER " but');
});

test('jsonl ~> a text a line is a document; empty lines and empty texts hold none', () => {
  const texts = ['Call me', 'Ishmaël\n“'];
  const content = `${jsonl(texts[0]!, '')}\n  \r\n${jsonl(texts[1]!)}{"text":"no line feed"}`;
  assert.equal(documentsOf(content, { format: 'jsonl' }).training, [...texts, 'no line feed']);
});

test('jsonl ~> lines longer than a block, and documents read in pieces', () => {
  const long = Array.from({ length: 300_000 }, (_, i) => `${i} `).join('');
  const file = write(jsonl('a', long, 'b'));
  const { training, close } = openText({ path: file, format: 'jsonl', validation: 0, sequenceLength: 1 });
  assert.is(training.numBytes, long.length + 2);
  const all = Buffer.from(`a${long}b`);
  for (const [start, length] of [
    [0, 5],
    [1_000_000, 700_000],
    [long.length - 3, 5],
    [long.length + 1, 1],
    [0, all.length],
  ] as const) {
    assert.ok(all.subarray(start, start + length).equals(training.read(start, length)), `${start}`);
  }
  close();
});

test('jsonl ~> a byte order mark at the beginning is no part of the text, and nowhere else is one', () => {
  const choice: Choice = { format: 'jsonl' };
  assert.equal(documentsOf(`\ufeff${jsonl('a', 'b')}`, choice).training, ['a', 'b']);
  assert.match(failure(`${jsonl('a')}\n\ufeff${jsonl('b')}`, choice), '/text:3: a line that is not JSON');
});

test('jsonl ~> a bad line is named', () => {
  const choice: Choice = { format: 'jsonl' };
  assert.match(
    failure(`${jsonl('a', '')}\n{"text":"b"`, choice),
    'error[E-DATA-JSONL] /text:4: a line that is not JSON',
  );
  for (const line of ['{"txt":"a"}', '{"text":1}', '"text"', 'null', '[1]']) {
    assert.match(failure(`${jsonl('a')}${line}\n`, choice), 'E-DATA-JSONL] /text:2: no string "text"');
  }
  assert.match(failure('\n\n', choice), 'E-DATA-EMPTY');
});

test('jsonl ~> a file that changes while it is read is E-DATA-CHANGED', () => {
  const path = write(jsonl('Call me', 'Ishmael'));
  const { training, close } = openText({ path, format: 'jsonl', validation: 0, sequenceLength: 1 });
  write(jsonl('Call us', 'Is'));
  assert.is(Buffer.from(training.read(0, 7)).toString(), 'Call us', 'of the same size: not noticed');
  assert.throws(() => training.read(7, 7), /E-DATA-CHANGED|E-DATA-JSONL/);
  close();
});

test('documents ~> the held-out end is whole documents', () => {
  const texts = ['aaaa', 'bb', 'cc', 'dd'];
  for (const [validation, heldOut] of [
    [0.1, 1],
    [0.25, 1],
    [0.4, 2],
    [0.99, 3],
  ] as const) {
    const parts = documentsOf(jsonl(...texts), { format: 'jsonl', validation });
    assert.equal(parts, { training: texts.slice(0, -heldOut), validation: texts.slice(-heldOut) });
  }
  assert.match(
    failure(jsonl('a text'), { format: 'jsonl', validation: 0.5 }),
    'one document, expected at least 2',
  );
});

test('documents ~> the first byte of one is not predicted from the last of another', () => {
  const path = write(jsonl('abab', 'ba', 'b'));
  const { training, close } = openText({ path, format: 'jsonl', validation: 0, sequenceLength: 1 });
  // Pairs: ab ba ab, ba.
  assert.is(bigramEntropy(training), 0);
  close();
});

test.run();
