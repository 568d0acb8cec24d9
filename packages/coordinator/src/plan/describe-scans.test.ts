import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { describeLayerRange, describeScan } from './describe-scans.js';

test('scans ~> a strategy with the options that it has', () => {
  assert.is(describeScan({ strategy: 'ring', blocks: 1, ranksPerNode: 8 }), 'ring');
  assert.is(describeScan({ strategy: 'all-scan', blocks: 4, ranksPerNode: 8 }), 'all-scan, 4 blocks');
  assert.is(describeScan({ strategy: 'two-level', blocks: 1, ranksPerNode: 8 }), 'two-level, 8 ranks a node');
});

test('layers ~> runs of neighbours are written as such', () => {
  assert.is(describeLayerRange([3]), 'layer 3');
  assert.is(describeLayerRange([0, 1, 2, 3]), 'layers 0-3');
  assert.is(describeLayerRange([0, 2, 4, 5]), 'layers 0, 2, 4-5');
});

test.run();
