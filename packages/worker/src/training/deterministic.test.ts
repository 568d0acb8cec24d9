import { test } from 'uvu';
import { expectSameBits, trainByUnit, type UnitTraining } from '../testing/train-by-unit.js';

/** Units that are not a multiple of any chunk, vector or block. */
const model = { layers: ['gla', 'mamba2', 'gated-deltanet', 'softmax-attention'], unitLength: 13 };
const steps = 20;

async function expectSame(packed: boolean, [first, ...others]: readonly UnitTraining[]): Promise<void> {
  const expected = await trainByUnit(model, { ...first!, packed, steps });
  for (const run of others) {
    expectSameBits(await trainByUnit(model, { ...run, packed, steps }), expected, JSON.stringify(run));
  }
}

test('deterministic ~> 20 steps give the same bits on 1 and 8 ranks', () =>
  expectSame(false, [{ sp: 1, threads: 3 }, { sp: 8 }]));

test('deterministic ~> packed documents too, with replicas and with micro-batches', () =>
  expectSame(true, [
    { sp: 2, dp: 2, strategy: 'all-gather' },
    { sp: 1, accumulate: 2 },
  ]));

test('deterministic ~> recomputed activations give the bits of kept ones', async () => {
  const kept = await trainByUnit(model, { sp: 1, dp: 2, packed: true, steps: 2 });
  const again = await trainByUnit({ ...model, recompute: true }, { sp: 4, packed: true, steps: 2 });
  expectSameBits(again, kept, 'recomputed');
  const some = { ...model, recompute: true, recomputedBlocks: 2 };
  expectSameBits(await trainByUnit(some, { sp: 2, packed: true, steps: 2 }), kept, 'two blocks recomputed');
});

test.run();
