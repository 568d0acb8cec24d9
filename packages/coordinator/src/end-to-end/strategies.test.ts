import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { StandingRanks } from '../testing/standing-ranks.js';
import { listUnits } from '../units.js';
import { Workshop } from './small-job.js';

const workshop = new Workshop(new StandingRanks());
test.after(() => workshop.remove());

/** Bytes of one state of each layer, f32, one sequence: 2 heads of gla 8 x 16, lightning 16 x 16, linear 16 x 17. */
const stateBytes = 4 * 2 * (8 * 16 + 16 * 16 + 16 * 17);

test('ranks and strategies ~> the losses of one rank within 1e-4, and the bytes that they promise', async () => {
  const single = await workshop.train('sp1', { 'parallel.sp': 1 });
  assert.is(single.steps.length, 20);
  assert.ok(single.steps[19]!.loss! < single.steps[0]!.loss! - 0.3, 'it learns');
  for (const sp of [2, 4]) {
    for (const strategy of listUnits('sp')) {
      const name = `sp${sp}-${strategy}`;
      const parallel = { 'parallel.sp': sp, 'parallel.blocks': 3, 'parallel.ranksPerNode': 2 };
      const { run, steps, result } = await workshop.train(name, {
        ...parallel,
        'parallel.strategy': strategy,
      });
      const planned = run.plan.modelled.find((row) => row.strategy === strategy)!.bytesSentByRank;
      steps.forEach((row, i) => {
        const expected = single.steps[i]!;
        assert.ok(Math.abs(row.loss! / expected.loss! - 1) < 1e-4, `${name} step ${row.step}: ${row.loss}`);
        const sent = row.perRank.map(
          (rank) => [rank!.spBytesSentForward, rank!.spBytesSentBackward] as const,
        );
        assert.equal(
          sent.map(([forward, backward]) => forward + backward),
          planned,
          `${name} step ${row.step}`,
        );
        if (!['ring', 'all-scan'].includes(strategy)) return;
        const promised = Array.from({ length: sp }, (_, r) => [
          r < sp - 1 ? stateBytes : 0,
          r > 0 ? stateBytes : 0,
        ]);
        assert.equal(sent, promised, `${name} step ${row.step}`);
        assert.is(row.spBytesSent, 2 * (sp - 1) * stateBytes);
      });
      assert.ok(Math.abs(result.validationLoss! / single.result.validationLoss! - 1) < 1e-3);
    }
  }
});

test('short convolutions and token shifts ~> what ranks send is what the plan says, halos included', async () => {
  const model = {
    'model.layers': ['gated-deltanet', 'rwkv6', 'gla'],
    'model.layer.gated-deltanet': { expandK: 1 },
  };
  const job = { ...model, 'job.steps': 2, 'parallel.sp': 3, 'parallel.strategy': 'ring' };
  const { run, steps } = await workshop.train('halos', job);
  const { bytesSentByRank } = run.plan.modelled.find(({ strategy }) => strategy === 'ring')!;
  for (const { perRank } of steps) {
    const sent = perRank.map((rank) => rank!.spBytesSentForward + rank!.spBytesSentBackward);
    assert.equal(sent, bytesSentByRank);
  }
});

test('dp x sp ~> the losses of one rank', async () => {
  const batch = { 'data.batchSize': 2, 'job.steps': 8 };
  const single = await workshop.train('batch-1', batch);
  const mesh = await workshop.train('batch-4', { ...batch, 'parallel.sp': 2, 'parallel.dp': 2 });
  mesh.steps.forEach((row, i) => {
    assert.ok(Math.abs(row.loss! / single.steps[i]!.loss! - 1) < 1e-4, `step ${row.step}: ${row.loss}`);
  });
});

test('a sequence that sp x chunk does not divide ~> padded, masked, the same losses', async () => {
  const odd = { 'data.sequenceLength': 777, 'job.steps': 6 };
  const single = await workshop.train('odd-1', odd);
  const cut = await workshop.train('odd-4', { ...odd, 'parallel.sp': 4 });
  assert.is(cut.steps[0]!.tokens, 777);
  cut.steps.forEach((row, i) => {
    assert.ok(Math.abs(row.loss! / single.steps[i]!.loss! - 1) < 1e-4, `step ${row.step}: ${row.loss}`);
  });
});

test.run();
