import { LongscanError } from '@longscan/kernels/errors';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { protocolVersion, rankFrameSchema } from '../protocol/messages.js';
import { describeFailure } from './describe-failure.js';

const fits = (error: unknown): boolean =>
  rankFrameSchema.safeParse({
    version: protocolVersion,
    jobId: 'job',
    epoch: 1,
    rank: 0,
    seq: 1,
    body: describeFailure(error),
  }).success;

test("a LongscanError's parts are kept apart, so that it can be made again", () => {
  const error = new LongscanError({
    code: 'E-DATA-NONE',
    where: 'text',
    found: 'nothing',
    fix: 'look',
    exitCode: 4,
  });
  const { stack, ...failed } = describeFailure(error);
  assert.equal(failed, {
    type: 'failed',
    code: 'E-DATA-NONE',
    where: 'text',
    found: 'nothing',
    expected: null,
    fix: 'look',
    exitCode: 4,
  });
  assert.match(stack ?? '', /describe-failure\.test/);
});

test('anything else is a bug of ours', () => {
  assert.is(describeFailure(new TypeError('x is not a function')).found, 'TypeError: x is not a function');
  assert.is(describeFailure('thrown text').exitCode, 1);
  assert.is(describeFailure(undefined).found, 'undefined');
});

test('an error of any length fits a frame', () => {
  const long = 'x'.repeat(1 << 20);
  assert.ok(fits(new Error(long)));
  assert.ok(fits(new LongscanError({ code: 'E-X', where: long, found: long, expected: long, fix: long })));
});

test.run();
