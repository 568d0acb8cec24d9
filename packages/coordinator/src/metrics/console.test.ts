import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { RunEvent } from '../run-folder/events.js';
import { consoleOptions, TrainingConsole } from './console.js';
import { formatDuration } from './progress-line.js';

const plan: RunEvent = {
  event: 'plan',
  sp: 2,
  dp: 1,
  strategy: 'all-scan',
  blocks: 4,
  steps: 20,
  tokensPerStep: 16_384,
  numParameters: 1000,
  notes: ['10 tokens are padded'],
};

function step(number: number, changes: object = {}): RunEvent {
  return {
    event: 'step',
    step: number,
    attempt: 1,
    loss: 2.5,
    gradNorm: 0.42,
    finite: true,
    lr: 0.00098,
    tokens: 16_384,
    tokensPerSecond: 13_333,
    mfu: null,
    stepMs: 1234,
    spExposedMs: 123.4,
    spBytesSent: 0,
    peakBytes: 1.5 * 2 ** 20,
    perRank: [],
    extra: {},
    ...changes,
  };
}

const esc = '\x1b';

/** What a terminal shows after the text: cursor movements are carried out. */
function screen(text: string): string[] {
  const lines: string[] = [''];
  let row = 0;
  for (const [token] of text.matchAll(new RegExp(`${esc}\\[1A|${esc}\\[2K|\n|[^${esc}\n]+`, 'g'))) {
    if (token === '\x1b[1A') row--;
    else if (token === '\x1b[2K') lines[row] = '';
    else if (token === '\n') lines[++row] ??= '';
    else lines[row] = token;
  }
  return lines.slice(0, row);
}

const piped = consoleOptions({}, {}, 10);
const live = consoleOptions({ isTTY: true, columns: 120 }, { NO_COLOR: '1' }, 10);

test('plain lines: the first step, every tenth and the last, without a control character', () => {
  const view = new TrainingConsole(piped);
  let text = view.show(plan);
  for (let number = 1; number <= 20; number++) text += view.show(step(number));
  assert.equal(
    text.split('\n').map((line) => line.split(' | ')[0]),
    [
      'plan 1000 parameters, 16384 tokens a step, sp 2 x dp 1, strategy all-scan, 4 blocks',
      '10 tokens are padded',
      'step 1/20 5.0%',
      'step 10/20 50.0%',
      'step 20/20 100.0%',
      '',
    ],
  );
  assert.not.ok(text.includes(esc));
});

test('a line holds all that the contract names', () => {
  const view = new TrainingConsole(piped);
  view.show(plan);
  assert.is(
    view.show(step(10)),
    'step 10/20 50.0% | loss 2.5000 | grad norm 0.420 | lr 9.80e-4 | 1.23 s/step | 13.3K tokens/s | exposed comm 10.0% | 1.5 MiB | ETA 12 s\n',
  );
});

test('a terminal shows one block, with what stays above it', () => {
  const view = new TrainingConsole(live);
  let text = view.show({ ...plan, notes: [] });
  text += view.show(step(1));
  text += view.show(step(2));
  text += view.show({
    event: 'validation',
    step: 2,
    attempt: 1,
    validationLoss: 2.25,
    finite: true,
    bigramEntropy: 2.5,
  });
  text += view.show(step(3));
  text += view.show({ event: 'done', step: 3, validationLoss: null, checkpoint: null, finished: false });
  assert.equal(
    screen(text).map((line) => line.split(' | ')[0]),
    [
      'plan 1000 parameters, 16384 tokens a step, sp 2 x dp 1, strategy all-scan, 4 blocks',
      'validation after step 2: loss 2.2500 (bigram entropy 2.5000) nats per token',
      'step 3/20 15.0%',
      '1.23 s/step',
      'stopped after step 3, no checkpoint',
    ],
  );
});

test('a narrow terminal cuts the block so that it never wraps', () => {
  const view = new TrainingConsole(consoleOptions({ isTTY: true, columns: 30 }, { NO_COLOR: '1' }, 10));
  view.show(plan);
  for (const line of screen(view.show(step(1)))) assert.ok(line.length < 30, line);
});

test('a loss that is not finite is said so', () => {
  assert.match(new TrainingConsole(piped).show(step(1, { loss: null, finite: false })), /loss not finite/);
});

test('colour only on a terminal that has not declined it', () => {
  const warning: RunEvent = { event: 'incident', severity: 'warning', code: 'W', message: 'm', rank: 1 };
  const shown = (options: typeof piped) => new TrainingConsole(options).show(warning);
  assert.is(shown(consoleOptions({ isTTY: true }, {}, 1)), '\x1b[33m[W] rank 1: m\x1b[0m\n');
  assert.is(shown(live), '[W] rank 1: m\n');
  assert.is(shown(piped), '[W] rank 1: m\n');
  assert.is(consoleOptions({ isTTY: true }, { TERM: 'dumb' }, 1).isLive, false);
});

test("an error comes after the end of the rank's log", () => {
  const error = { event: 'error', code: 'E-RANK-DIED', message: 'it died', exitCode: 8, rank: 1 } as const;
  assert.is(
    new TrainingConsole(piped).show({ ...error, logTail: ['one', 'two'] }),
    'rank 1 | one\nrank 1 | two\nit died\n',
  );
});

test('durations in two units', () => {
  assert.equal([0, 45e3, 200e3, 23_640e3, 1_047_600e3].map(formatDuration), [
    '0 s',
    '45 s',
    '3 min 20 s',
    '6 h 34 min',
    '12 d 3 h',
  ]);
});

test.run();
