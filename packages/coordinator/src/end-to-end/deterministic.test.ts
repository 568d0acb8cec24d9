import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { bytesOf, Workshop } from './small-job.js';

const workshop = new Workshop();
test.after(() => workshop.remove());

const job = {
  'job.deterministic': true,
  'job.canonicalSegments': 4,
  'model.layers': ['gla', 'mamba2', 'gated-deltanet', 'softmax-attention'],
  'model.numLayers': 4,
  'data.batchSize': 2,
  'data.format': 'text',
  'data.separator': 'whale',
  'data.packing': true,
  'device.threads': 2,
  // Neither the padding nor the number of held-out sequences divides evenly.
  'data.sequenceLength': 500,
};

test('deterministic ~> processes in any mesh write the same bytes, and go on from each other', async () => {
  const alone = await workshop.train('alone', { ...job, 'checkpoint.every': 10 });
  const { result } = alone;
  assert.ok(Number.isFinite(result.validationLoss));
  const bits = ({ steps }: typeof alone) => steps.map(({ step, loss, gradNorm }) => [step, loss, gradNorm]);
  const files = ['parameters', 'optimizer'] as const;
  const expected = bits(alone);
  const expectedBytes = files.map((file) => bytesOf(result.checkpoint!, file));
  const expectSame = (other: typeof alone) => {
    const { modelled, strategy } = other.run.plan;
    const { bytesSentByRank } = modelled.find((one) => one.strategy === strategy)!;
    other.steps.at(-1)!.perRank.forEach((rank, r) => {
      const promised = bytesSentByRank[r % bytesSentByRank.length];
      assert.is(rank!.spBytesSentForward + rank!.spBytesSentBackward, promised, `rank ${r}`);
    });
    assert.equal(bits(other), expected);
    assert.is(other.result.validationLoss, result.validationLoss);
    files.forEach((file, i) => {
      assert.ok(bytesOf(other.result.checkpoint!, file).equals(expectedBytes[i]!), file);
    });
  };
  const meshes = [
    { 'parallel.sp': 2, 'parallel.dp': 2, 'parallel.strategy': 'all-gather' },
    { 'parallel.sp': 4, 'parallel.strategy': 'all-scan', 'device.threads': 1 },
  ];
  for (const [i, mesh] of meshes.entries())
    expectSame(await workshop.train(`mesh-${i}`, { ...job, ...mesh }));
  expectSame(await workshop.branch('resumed', alone, 10, { ...job, 'parallel.sp': 2 }));
});

test.run();
