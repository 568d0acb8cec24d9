import { type JobSpec, jobFileSchema } from '@longscan/worker/protocol';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { canonicalSegments, unitProblems } from './canonical-units.js';
import { layOut } from './layout.js';
import { planJob } from './plan-job.js';

interface Keys {
  readonly job?: Partial<JobSpec['job']>;
  readonly data?: Partial<JobSpec['data']>;
  readonly parallel?: Partial<JobSpec['parallel']>;
}

function jobOf({ job, data, parallel }: Keys): JobSpec {
  const parsed = jobFileSchema.parse({
    job: { deterministic: true, ...job },
    data: { path: '/text', sequenceLength: 1000, ...data },
    parallel: { ...parallel },
    model: { chunk: 16, numLayers: 1, dModel: 32, numHeads: 2, mlp: 0 },
  });
  const { layer: _, ...model } = parsed.model;
  const device = { ...parsed.device, engine: 'tcp' } as const;
  return {
    ...parsed,
    device,
    model: { ...model, mlp: 0, layers: [{ use: 'gla', options: {}, file: null }] },
  };
}

const problemsOf = (keys: Keys) => unitProblems(jobOf(keys)).map(({ message }) => message);

test('segments ~> 8, or as many as a short sequence fills; never a matter of the mesh', () => {
  assert.is(canonicalSegments(jobOf({})), 8);
  assert.is(canonicalSegments(jobOf({ parallel: { sp: 2, dp: 4 } })), 8);
  assert.is(canonicalSegments(jobOf({ data: { sequenceLength: 40 } })), 2);
  assert.is(canonicalSegments(jobOf({ data: { sequenceLength: 3 } })), 1);
  assert.is(canonicalSegments(jobOf({ job: { canonicalSegments: 16 } })), 16);
  assert.is(canonicalSegments(jobOf({ job: { deterministic: false } })), null);
});

test('layout ~> padding is the same on every mesh', () => {
  const padded = [1, 2, 4, 8].map((sp) => layOut(jobOf({ parallel: { sp } })));
  assert.equal(
    padded.map(({ paddedLength }) => paddedLength),
    [1024, 1024, 1024, 1024],
  );
  assert.equal(padded[2]!.slices.at(-1), { start: 768, length: 256, numTokens: 232 });
});

test('problems ~> none where powers of two fit, else each with its key and what to do', () => {
  assert.equal(problemsOf({ parallel: { sp: 8, dp: 2 }, data: { batchSize: 4, accumulate: 2 } }), []);
  assert.equal(problemsOf({ job: { deterministic: false } }), []);
  assert.equal(problemsOf({ job: { canonicalSegments: 64 } }), [
    'error[E-CFG-VALUE] job.canonicalSegments: 64 segments of 16 tokens (whole chunks of 16) for a sequence of 1000, expected at least one token in every segment. Fix: job.canonicalSegments = 8, or a smaller model.chunk',
  ]);
  assert.equal(problemsOf({ parallel: { attentionStrategy: 'ring-attention' } }), [
    'error[E-CFG-VALUE] parallel.attentionStrategy: "ring-attention" in deterministic mode, which adds gradients of keys in the order of units, expected "kv-all-gather". Fix: parallel.attentionStrategy = "kv-all-gather"',
  ]);
});

test('plan ~> says what a unit is, and refuses a strategy that composes units', async () => {
  const { notes, strategy } = await planJob(jobOf({ job: { canonicalSegments: 8 }, parallel: { sp: 4 } }));
  assert.ok(
    notes.includes(
      'deterministic: 8 canonical segments of 128 tokens a sequence, 2 on each rank, one sequence after the other',
    ),
    notes.join('; '),
  );
  assert.not.equal(strategy, 'doubling-scan');
  await planJob(jobOf({ parallel: { sp: 4, strategy: 'doubling-scan' } })).then(
    () => assert.unreachable(),
    ({ message }: Error) =>
      assert.match(
        message,
        /^error\[E-STRATEGY\] parallel\.strategy: "doubling-scan" in deterministic mode: .* Fix: .*"ring"/,
      ),
  );
});

test.run();
