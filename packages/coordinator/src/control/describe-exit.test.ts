import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { RankExit } from '../launcher.js';
import { describeExit } from './describe-exit.js';

const exit = (changes: Partial<RankExit>): RankExit => ({
  rank: 3,
  host: 'host',
  exitCode: null,
  signal: null,
  startError: null,
  ...changes,
});

const cases: readonly (readonly [RankExit, number, string])[] = [
  [exit({ signal: 'SIGKILL' }), 42, 'rank 3 on host was killed with SIGKILL (out of memory?) after 42 steps'],
  [exit({ signal: 'SIGSEGV' }), 1, 'rank 3 on host crashed with SIGSEGV after 1 step'],
  [exit({ signal: 'SIGTERM' }), 0, 'rank 3 on host was ended with SIGTERM after 0 steps'],
  [exit({ exitCode: 134 }), 2, 'rank 3 on host ended with exit code 134 after 2 steps'],
  [exit({ exitCode: 0 }), 2, 'rank 3 on host ended without finishing its task after 2 steps'],
  [exit({ startError: 'spawn ENOENT' }), 0, 'rank 3 on host could not be started: spawn ENOENT'],
];

for (const [made, numSteps, text] of cases) {
  test(text, () => assert.is(describeExit(made, numSteps), text));
}

test.run();
