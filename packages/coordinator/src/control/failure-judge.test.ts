import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { FailureJudge, isConsequence } from './failure-judge.js';
import { RankError } from './rank-error.js';

const error = (rank: number, code: string): RankError =>
  new RankError({ code, where: `rank ${rank}`, found: '', rank });

function judge(): { readonly judge: FailureJudge; readonly verdict: Promise<RankError> } {
  let made!: FailureJudge;
  const verdict = new Promise<RankError>((resolve) => {
    made = new FailureJudge(resolve);
  });
  return { judge: made, verdict };
}

test('a broken connection that is reported first is not the cause when a death follows', async () => {
  const { judge: made, verdict } = judge();
  made.add(error(0, 'E-COMM-PEER'), 'consequence');
  made.add(error(2, 'E-COMM-PEER'), 'consequence');
  made.add(error(1, 'E-RANK-DIED'), 'cause');
  assert.is((await verdict).rank, 1);
});

test("a rank's own report explains its exit code", async () => {
  const { judge: made, verdict } = judge();
  made.add(error(1, 'E-RANK-DIED'), 'unexplained');
  made.add(error(1, 'E-DATA-NONE'), 'cause');
  assert.is((await verdict).code, 'E-DATA-NONE');
});

test('an exit code that nobody explains stands against lost peers', async () => {
  const { judge: made, verdict } = judge();
  made.add(error(0, 'E-COMM-PEER'), 'consequence');
  made.add(error(1, 'E-RANK-DIED'), 'unexplained');
  assert.is((await verdict).rank, 1);
});

test('a lost peer is the cause when there is no other', async () => {
  const { judge: made, verdict } = judge();
  made.add(error(0, 'E-COMM-PEER'), 'consequence');
  made.add(error(1, 'E-COMM-PEER'), 'consequence');
  assert.is((await verdict).rank, 0);
});

test('a judge that was held up looks first at what has come meanwhile', async () => {
  const { judge: made, verdict } = judge();
  // From here on timers that are due come before what has arrived, which comes before immediates.
  await new Promise(setImmediate);
  made.add(error(0, 'E-COMM-PEER'), 'consequence');
  setImmediate(() => made.add(error(1, 'E-RANK-DIED'), 'cause'));
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1500);
  assert.is((await verdict).rank, 1);
});

test('one verdict only, and none after close', () => {
  const verdicts: number[] = [];
  const made = new FailureJudge(({ rank }) => verdicts.push(rank!));
  made.add(error(1, 'E-RANK-DIED'), 'cause');
  made.add(error(2, 'E-RANK-DIED'), 'cause');
  const closed = new FailureJudge(({ rank }) => verdicts.push(rank!));
  closed.close();
  closed.add(error(3, 'E-RANK-DIED'), 'cause');
  assert.equal(verdicts, [1]);
});

test('codes that point at a peer', () => {
  assert.equal(['E-COMM-PEER', 'E-COMM-DEADLINE', 'E-RANK-ABORT', 'E-DIVERGED', 'E-BUG'].map(isConsequence), [
    true,
    true,
    true,
    false,
    false,
  ]);
});

test.run();
