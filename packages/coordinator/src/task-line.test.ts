import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { TaskLine } from './task-line.js';

function written(isTTY: boolean, use: (line: TaskLine, wait: (ms: number) => void) => void): string {
  const texts: string[] = [];
  let nowMs = 5000;
  const stream = { isTTY, columns: 80, write: (text: string) => texts.push(text) };
  const line = new TaskLine(stream, {}, () => nowMs);
  use(line, (ms) => {
    nowMs += ms;
  });
  return texts.join('');
}

const showTwo = (line: TaskLine, wait: (ms: number) => void) => {
  line.begin();
  wait(9000);
  line.show({ done: 0, total: 3, next: 'gla, T = 2048' });
  wait(20_000);
  line.show({ done: 1, total: 3, next: 'kda, T = 2048' });
  line.clear();
};

test('a task on a terminal ~> one line that is drawn anew; time left by what is done, without the start', () => {
  const anew = '\r\x1b[2K';
  assert.is(
    written(true, showTwo),
    ['starting', '1 of 3: gla, T = 2048', '2 of 3: kda, T = 2048 | about 40 s left', ''].join(anew),
  );
});

test('a task elsewhere, or told to nobody ~> nothing', () => {
  assert.is(written(false, showTwo), '');
  new TaskLine(null).show({ done: 0, total: 1, next: 'gla' });
});

test.run();
