import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { LiveLine, type LiveStream } from './live-line.js';

function written(stream: Omit<LiveStream, 'write'>, env: Record<string, string> = {}): string {
  let text = '';
  const line = new LiveLine({ ...stream, write: (part: string) => (text += part) }, env);
  line.show('first');
  line.show('the second');
  line.clear();
  line.clear();
  return text;
}

test('on a terminal ~> one line, drawn anew and gone at the end, as long as the terminal is wide', () => {
  assert.is(written({ isTTY: true }), 'first\r\x1b[2Kthe second\r\x1b[2K');
  assert.is(written({ isTTY: true, columns: 5 }), 'firs\r\x1b[2Kthe \r\x1b[2K');
});

test('elsewhere, and on a dumb terminal ~> nothing', () => {
  assert.is(written({}), '');
  assert.is(written({ isTTY: false, columns: 80 }), '');
  assert.is(written({ isTTY: true }, { TERM: 'dumb' }), '');
});

test.run();
