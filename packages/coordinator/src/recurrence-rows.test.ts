import type { MissingRecurrence, RecurrencesResult, RecurrenceTimes } from '@longscan/worker/protocol';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { formatRecurrences, type RecurrenceRow, recurrenceRows } from './recurrence-rows.js';

const which = { op: 'gla', B: 1, T: 64, H: 2, K: 8, V: 8, dtype: 'f32' } as const;

const times = (
  what: Pick<RecurrenceTimes, 'pass' | 'strategy' | 'blocks' | 'ranksPerNode'>,
  samplesMs: readonly number[],
  [bytesSent, extraBytes]: readonly [number, number] = [0, 2048],
): RecurrenceTimes => ({ ...which, ...what, samplesMs: [...samplesMs], bytesSent, extraBytes });

const alone = { strategy: null, blocks: null, ranksPerNode: null };
const scan = { strategy: 'all-scan', blocks: 8, ranksPerNode: 3 };
const levels = { strategy: 'two-level', blocks: 1, ranksPerNode: 1 };
const refused = { ...alone, strategy: 'all-scan' };
const missing: MissingRecurrence = { ...which, op: 'slstm', ...refused, missing: 'not affine' };
const tooLarge: MissingRecurrence = { ...which, ...levels, missing: 'no room for it' };
const none: MissingRecurrence = { ...which, op: 'mamba', ...alone, missing: 'no room' };

const ofRank = (cases: RecurrencesResult['cases']): RecurrencesResult => ({
  cases,
  machine: { device: 'cpu', level: 'x', threads: 1 },
  versions: { nccl: '2.28.3' },
});

const measured = recurrenceRows([
  ofRank([
    times({ pass: 'forward', ...alone }, [1, 5, 2]),
    times({ pass: 'forward', ...scan }, [4, 4, 9], [100, 2048]),
    times({ pass: 'both', ...alone }, [10, 10, 10]),
    times({ pass: 'both', ...levels }, [12, 12, 12], [1000, 4096]),
    missing,
    tooLarge,
    { ...none, missing: null },
  ]),
  ofRank([
    times({ pass: 'forward', ...alone }, [2, 1, 3]),
    times({ pass: 'forward', ...scan }, [3, 6, 1], [20, 5120]),
    times({ pass: 'both', ...alone }, [8, 8, 8]),
    times({ pass: 'both', ...levels }, [15, 11, 11], [0, 1024]),
    missing,
    { ...tooLarge, missing: null },
    none,
  ]),
  ofRank([
    times({ pass: 'forward', ...alone }, [1, 1, 1]),
    times({ pass: 'forward', ...scan }, [1, 1, 1], [3, 1024]),
    times({ pass: 'both', ...alone }, [1, 1, 1]),
    times({ pass: 'both', ...levels }, [1, 1, 1], [0, 1024]),
    missing,
    { ...tooLarge, missing: null },
    none,
  ]),
]);

test("recurrence rows ~> times of each round's slowest rank, bytes of all, memory of the one with the most", () => {
  const rows = measured.rows.slice(0, 4) as RecurrenceRow[];
  assert.equal(
    rows.map(({ lowMs, medianMs, highMs, aloneMs }) => [lowMs, medianMs, highMs, aloneMs]),
    [
      [2, 3, 5, 3],
      [4, 6, 9, 3],
      [10, 10, 10, 10],
      [12, 12, 15, 10],
    ],
  );
  assert.equal(
    rows.map(({ bytesSent, extraBytes, numRanks, numRounds }) => [
      bytesSent,
      extraBytes,
      numRanks,
      numRounds,
    ]),
    [
      [0, 2048, 3, 3],
      [123, 5120, 3, 3],
      [0, 2048, 3, 3],
      [1000, 4096, 3, 3],
    ],
  );
  assert.equal(measured.rows.slice(4), [missing, tooLarge, none]);
});

test('recurrence rows ~> as a table, what is missing behind it', () => {
  const lines = formatRecurrences(measured).split('\n');
  assert.is(lines[0], '3 ranks; CPU (x), 1 threads a rank; nccl 2.28.3');
  const cells = lines.slice(3, 7).map((line) => line.split(/ {2,}/));
  assert.equal(cells, [
    ['gla', '64', 'forward', '– (slices alone)', '3.000', '2.000 – 5.000', '2.0 KiB'],
    [
      'gla',
      '64',
      'forward',
      'all-scan, 8 blocks',
      '6.000',
      '4.000 – 9.000',
      '3.00 ms = 100.0 %',
      '123 B',
      '5.0 KiB',
    ],
    ['gla', '64', 'forward + backward', '– (slices alone)', '10.00', '10.00 – 10.00', '2.0 KiB'],
    [
      'gla',
      '64',
      'forward + backward',
      'two-level, 1 a node',
      '12.00',
      '12.00 – 15.00',
      '2.00 ms = 20.0 %',
      '1000 B',
      '4.0 KiB',
    ],
  ]);
  assert.equal(lines.slice(7), [
    'slstm, T = 64, all-scan: not affine',
    'gla, T = 64, two-level, 1 a node: no room for it',
    'mamba, T = 64: no room',
  ]);
});

test.run();
