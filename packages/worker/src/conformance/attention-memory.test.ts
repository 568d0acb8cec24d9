import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { AttentionStrategy } from '../attention-strategy.js';
import { loadAttentionStrategy } from '../load-strategy.js';
import { rankProblem, sizes } from './attention-strategy/attention-case.js';
import { withRanks } from './rank-set.js';

const sliceLength = 32;
const heads = { H: 8, G: 8 };

/** Keys and values of one rank. */
const sliceBytes = sizes.elementBytes * sizes.B * sliceLength * heads.G * (sizes.K + sizes.V);

/** The most that a training step of attention alone takes on a rank, beside its inputs. */
function peakBytes(strategy: AttentionStrategy, numRanks: number): Promise<number> {
  const problem = { lengths: new Array<number>(numRanks).fill(sliceLength), heads };
  return withRanks(numRanks, async (ranks) => {
    // Which free block serves a tensor depends on how far other streams are: held, they are nowhere yet.
    const openGates = ranks.devices.map((device) => device.compute.closeGate());
    const peaks = ranks.devices.map((device, rank) => {
      const { forward, dO } = rankProblem(problem, strategy, ranks, rank);
      const { inUseBytes } = device.memory({ resetPeak: true });
      const { result, tape } = device.record(() => device.scope(() => forward()));
      tape.backward([result], [dO]);
      return device.memory().peakBytes - inUseBytes;
    });
    for (const openGate of openGates) openGate();
    await ranks.sync();
    return Math.max(...peaks);
  });
}

test('ring attention ~> as much memory on 8 ranks as on 4, at the same tokens per rank', async () => {
  const strategy = await loadAttentionStrategy('ring-attention');
  assert.is(await peakBytes(strategy, 8), await peakBytes(strategy, 4));
});

test('head-all-to-all ~> at most its own tokens once more for those under way', async () => {
  const strategy = await loadAttentionStrategy('head-all-to-all');
  const [four, eight] = [await peakBytes(strategy, 4), await peakBytes(strategy, 8)];
  // Of queries, keys and values (P - 1) / P are under way, there and back.
  const tokenBytes = sizes.elementBytes * sizes.B * heads.H * (2 * sizes.K + sizes.V);
  assert.ok(eight - four <= (7 / 8 - 3 / 4) * 2 * sliceLength * tokenBytes, `${four} bytes, then ${eight}`);
});

test('kv-all-gather ~> keys and values of all ranks, and their gradients', async () => {
  const strategy = await loadAttentionStrategy('kv-all-gather');
  const [four, eight] = [await peakBytes(strategy, 4), await peakBytes(strategy, 8)];
  assert.ok(eight - four >= 2 * 4 * sliceBytes, `${four} bytes on 4 ranks, ${eight} on 8`);
});

test.run();
