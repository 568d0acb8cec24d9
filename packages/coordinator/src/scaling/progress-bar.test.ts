import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ProgressBar } from './progress-bar.js';
import type { CurveProgress } from './run-curve.js';

const at = (done: number): CurveProgress => ({
  ...{ done, total: 4 },
  next: done === 4 ? null : { point: { sp: 2, sequenceLength: 4096, batchSize: 1 } as never, launch: 1 },
});

function written(isTTY: boolean, env: Record<string, string> = {}) {
  let text = '';
  let nowMs = 0;
  const stream = { isTTY, write: (part: string) => (text += part) };
  const bar = new ProgressBar(stream, 2, env, () => nowMs);
  bar.note('first');
  bar.show(at(0));
  nowMs = 10_000;
  bar.show(at(1));
  bar.note('a point failed');
  bar.show(at(4));
  return text;
}

test('on a terminal ~> one line drawn anew, notes above it, gone at the end', () => {
  const lines = written(true).split('\n');
  assert.is(lines.length, 3);
  assert.is(lines[0], 'first');
  assert.match(lines[1]!, /^░{24} 0\/4 \| sp 2, 1 x 4,096 tokens, launch 1 of 2\r/);
  assert.match(lines[1]!, /█{6}░{18} 1\/4 \|.*\| about 30 s left\r/);
  assert.ok(lines[1]!.endsWith('\r\x1b[2Ka point failed'));
  assert.is(lines[2], '');
});

test('elsewhere, and on a dumb terminal ~> a plain line for each launch', () => {
  const expected =
    'first\n[1/4] sp 2, 1 x 4,096 tokens, launch 1 of 2\n[2/4] sp 2, 1 x 4,096 tokens, launch 1 of 2\na point failed\n';
  assert.is(written(false), expected);
  assert.is(written(true, { TERM: 'dumb' }), expected);
});

test.run();
