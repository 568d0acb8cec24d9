import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { CarriedSchedule } from './carried-schedule.js';

const options = { numBytes: 1001, sequenceLength: 100, batchSize: 3 };

test('carried schedule ~> each row reads its stretch in order, then again', () => {
  const schedule = new CarriedSchedule(options);
  assert.is(schedule.stepsPerEpoch, 3);
  const starts = [0, 1, 2, 3].map((step) => [0, 1, 2].map((row) => schedule.window(step, row).start));
  assert.equal(starts, [
    [0, 333, 666],
    [100, 433, 766],
    [200, 533, 866],
    [0, 333, 666],
  ]);
  assert.equal(
    [0, 1, 2, 3, 4].map((step) => schedule.tokensBefore(step)),
    [0, 100, 200, 0, 100],
  );
  assert.equal(schedule.window(2, 1), { start: 533, numTokens: 100, memoryStart: 333 });
  assert.equal(schedule.position(4), { epoch: 1, sequence: 3 });
});

test('carried schedule ~> a text that is too short for its rows is refused', () => {
  assert.is(new CarriedSchedule({ ...options, numBytes: 301 }).stepsPerEpoch, 1);
  assert.throws(
    () => new CarriedSchedule({ ...options, numBytes: 300 }),
    /E-DATA-EMPTY.*300 bytes.*3 stretches.*at least 301/s,
  );
});

test.run();
