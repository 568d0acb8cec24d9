import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  formatBytes,
  formatCount,
  formatError,
  formatPercent,
  formatSeconds,
  formatTable,
} from './format.js';

test('sizes, counts and times with three digits or so', () => {
  assert.equal([0, 1, 1023, 1024, 1536, 5 * 2 ** 30].map(formatBytes), [
    '0 B',
    '1 B',
    '1023 B',
    '1.0 KiB',
    '1.5 KiB',
    '5.0 GiB',
  ]);
  assert.equal([0, 999, 1234, 5.6e6, 1e15].map(formatCount), ['0', '999', '1.23K', '5.60M', '1.00P']);
  assert.equal([0, 27e-6, 0.00123, 0.5, 12.345].map(formatSeconds), [
    '0',
    '27.0 us',
    '1.23 ms',
    '500 ms',
    '12.3 s',
  ]);
});

test('parts of a whole, and errors, in percent', () => {
  assert.equal([0, 0.1234, 1].map(formatPercent), ['0.0 %', '12.3 %', '100.0 %']);
  assert.equal([0.0012345, 0.12345, 1.5].map(formatError), ['0.123 %', '12.3 %', '150 %']);
});

test('a table is as wide as its widest cells', () => {
  const rows = [
    ['name', 'size'],
    ['ring', '5 B'],
    ['all-scan', '123 B'],
  ];
  assert.is(formatTable(rows, '<>'), 'name       size\nring        5 B\nall-scan  123 B');
});

test.run();
