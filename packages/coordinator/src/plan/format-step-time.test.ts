import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { formatStepTime } from './format-step-time.js';

const step = {
  modelled: true,
  stepSeconds: 1.25,
  tokensPerSecond: 13_107.2,
  ranks: [
    { busyS: 1.2, exposedS: 0, exposedGradientS: 2e-3 },
    { busyS: 1.2, exposedS: 5e-3, exposedGradientS: 2e-3 },
  ],
  fabric: 'a test link',
  compute: 'a test machine',
  notes: ['both are made up'],
} as const;

test('the time of a step as people see it', () => {
  assert.equal(formatStepTime(step).split('\n'), [
    'step time              1.25 s (modelled)',
    'tokens/s               13,107',
    'computing              1.20 s',
    'waiting for states     0 to 5.00 ms by rank',
    'waiting for gradients  2.00 ms',
    'based on               links of a test link; ops on a test machine',
    '',
    'note: both are made up',
  ]);
});

test('one rank waits for nobody', () => {
  const text = formatStepTime({ ...step, ranks: step.ranks.slice(0, 1) });
  assert.not.match(text, /waiting/);
});

test.run();
