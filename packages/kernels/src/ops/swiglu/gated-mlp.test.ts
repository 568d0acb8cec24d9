import { test } from 'uvu';
import { checkOp } from '../../testing/index.js';
import { gatedMlpCheck } from './gated-mlp-check.js';

for (const sizes of [
  [1, 3, 5, 2],
  [7, 12, 10, 9],
] as const) {
  test(`gated mlp, ${sizes.join(' x ')}`, () => checkOp(gatedMlpCheck(sizes)));
}

test.run();
