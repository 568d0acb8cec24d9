import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { BatchSchedule } from './batch-schedule.js';
import { fullWindows } from './text-cut.js';

const options = { cut: fullWindows(1050, 100, 42), batchSize: 3, seed: 42 };

function starts(schedule: BatchSchedule, numSteps: number): number[] {
  return Array.from({ length: numSteps * 3 }, (_, i) => schedule.window(Math.floor(i / 3), i % 3).start);
}

test('an epoch takes each window once and stays inside the text', () => {
  const schedule = new BatchSchedule(options);
  assert.is(options.cut.numWindows, 10);
  for (const epoch of [0, 1, 2]) {
    const windows = starts(schedule, 10)
      .slice(epoch * 10, epoch * 10 + 10)
      .sort((a, b) => a - b);
    const offset = windows[0]!;
    assert.ok(offset <= 49, 'the window before the spare bytes are used up');
    assert.equal(
      windows,
      Array.from({ length: 10 }, (_, i) => offset + i * 100),
    );
  }
});

test('epochs differ in order', () => {
  const order = starts(new BatchSchedule(options), 10);
  const relative = (epoch: number) =>
    order
      .slice(epoch * 10, epoch * 10 + 10)
      .map((start) => Math.floor(start / 100))
      .join();
  assert.is.not(relative(0), relative(1));
});

test('depends on step and seed alone: asking out of order gives the same windows', () => {
  const inOrder = starts(new BatchSchedule(options), 20);
  const resumed = new BatchSchedule(options);
  for (const step of [19, 3, 11, 0]) assert.is(resumed.window(step, 2).start, inOrder[step * 3 + 2]);
  assert.is.not(starts(new BatchSchedule({ ...options, seed: 43 }), 20).join(), inOrder.join());
});

test('one window fills the shortest allowed text', () => {
  const schedule = new BatchSchedule({ cut: fullWindows(101, 100, 1), batchSize: 3, seed: 1 });
  assert.equal(starts(schedule, 2), [0, 0, 0, 0, 0, 0]);
});

test('position counts passes and the sequences of this pass', () => {
  const schedule = new BatchSchedule(options);
  assert.equal(schedule.position(0), { epoch: 0, sequence: 0 });
  assert.equal(schedule.position(7), { epoch: 2, sequence: 1 });
});

test.run();
