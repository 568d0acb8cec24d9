import { LongscanError } from '@longscan/worker/protocol';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { interruptible } from './interruptible.js';

/** As a task does: it ends when it is told to. */
function untilAborted(code: string): Promise<never> {
  return interruptible(
    (signal) =>
      new Promise((_, reject) => {
        const parts = { code, where: 'task', found: 'ended', exitCode: 130 };
        signal.addEventListener('abort', () => reject(new LongscanError(parts)));
      }),
  );
}

for (const [signal, exitCode] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  test(`${signal} ~> the task is told, and the exit code is ${exitCode}`, async () => {
    const task = untilAborted('E-RUN-KILLED');
    process.emit(signal, signal);
    const error = await task.catch((reason: LongscanError) => reason);
    assert.equal([error.code, error.exitCode], ['E-RUN-KILLED', exitCode]);
    assert.is(process.listenerCount(signal), 0);
  });
}

test('an error that the signal is not the reason of keeps its exit code', async () => {
  const task = untilAborted('E-RANK-DIED');
  process.emit('SIGTERM', 'SIGTERM');
  assert.is((await task.catch((reason: LongscanError) => reason)).exitCode, 130);
});

test.run();
