import { fromArray } from '@longscan/kernels';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { AttentionStrategy } from '../attention-strategy.js';
import { positionsOf } from '../sequence/positions.js';
import { slicesOf } from '../sequence/slice-group.js';
import { runCase } from './attention-strategy/attention-case.js';
import { attentionStrategyChecks } from './attention-strategy-suite.js';
import { withRanks } from './rank-set.js';
import { importUnits } from './unit-files.js';

const strategies = await importUnits<AttentionStrategy>(new URL('../attention-strategies/', import.meta.url));

test('the folder holds the strategies that a job may name', () => {
  for (const name of ['kv-all-gather', 'ring-attention', 'head-all-to-all'])
    assert.ok(strategies.has(name), name);
});

for (const [name, strategy] of strategies) {
  test(`${name} ~> is named as its file`, () => assert.is(strategy.name, name));
  for (const check of attentionStrategyChecks(strategy)) test(`${name} ~> ${check.name}`, () => check.run());
}

test('attention over chunks ~> slices are whole chunks where chunks travel by slice', async () => {
  const problem = { lengths: [6, 6], options: { chunk: 4 } };
  const error = await runCase(problem, strategies.get('kv-all-gather')!).then(
    () => null,
    (reason: Error) => reason,
  );
  assert.match(error?.message ?? '', /a slice that begins at token 6, expected a multiple of the chunk, 4/);
});

test('packed documents need to know how far back they began', async () => {
  await withRanks(2, async ({ devices, communicators }) => {
    const device = devices[1]!;
    const group = { communicator: communicators[1]!, slices: slicesOf([3, 3]) };
    const x = fromArray(device, new Float64Array(3), [1, 3, 1]);
    const resets = fromArray(device, [0, 1, 0], [1, 3], 'i32');
    assert.throws(
      () => positionsOf(x, group, { resets, before: null }),
      /how many tokens of the open document/,
    );
  });
});

test.run();
