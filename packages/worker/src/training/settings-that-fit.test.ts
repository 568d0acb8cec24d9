import { LongscanError } from '@longscan/kernels';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type JobSpec, jobSpecSchema } from '../protocol/job-spec.js';
import type { Plan } from '../protocol/plan.js';
import { plainPlan } from '../testing/plain-plan.js';
import { changesOf } from './changes.js';
import { processBytes } from './memory-needed.js';
import { adviceOf, settingsThatFit } from './settings-that-fit.js';

type Sections = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

function jobOf({ model, data, ...rest }: Sections = {}): JobSpec {
  return jobSpecSchema.parse({
    model: { dModel: 32, mlp: 32, layers: [{ use: 'gla', options: {}, file: null }], ...model },
    data: { path: 'unused', sequenceLength: 1024, batchSize: 8, ...data },
    ...rest,
  });
}

const textsOf = (job: JobSpec) => changesOf(job).map((changes) => changes.map(({ text }) => text));

test('changes ~> kind by kind, the mildest first', () => {
  const found = textsOf(jobOf({ parallel: { dp: 2 }, data: { accumulate: 2 } }));
  assert.equal(found.slice(0, 5), [
    ['data.accumulate = 4'],
    ['model.recompute = "cheap"', 'model.recompute = true'],
    [],
    ['model.timeSlice = 512', 'model.timeSlice = 256', 'model.timeSlice = 128', 'model.timeSlice = 64'],
    ['parallel.zero = 1'],
  ]);
  assert.is(found[5]![0], 'parallel.sp = 2 on 4 ranks in place of 2');
  assert.equal(found.slice(6), [
    ['optimizer.moments = "bf16"'],
    [],
    ['data.batchSize = 4'],
    [512, 256, 128, 64].map((length) => `data.sequenceLength = ${length}`),
  ]);
});

test('changes ~> blocks of which some are recomputed: more of them, then all in a stronger way', () => {
  const model = { numLayers: 5, recompute: 'cheap', recomputedBlocks: 1 };
  assert.equal(textsOf(jobOf({ model }))[1], [
    'model.recomputedBlocks = 2',
    'model.recomputedBlocks = 4',
    'model.recomputedBlocks = "all"',
    'model.recompute = true with model.recomputedBlocks = "all"',
  ]);
  assert.equal(textsOf(jobOf({ model: { ...model, recompute: true, recomputedBlocks: 4 } }))[1], [
    'model.recomputedBlocks = "all"',
  ]);
  assert.equal(textsOf(jobOf({ model: { ...model, recomputedBlocks: 5 } }))[1], ['model.recompute = true']);
});

test('changes ~> none that a job refuses', () => {
  const [microBatches, recomputing, , timeSlices, sharded] = textsOf(
    jobOf({
      job: { deterministic: true, canonicalSegments: 8 },
      parallel: { sp: 2 },
      data: { batchSize: 8 },
    }),
  );
  assert.equal(
    microBatches,
    [2, 4, 8].map((count) => `data.accumulate = ${count}`),
  );
  assert.equal([recomputing, timeSlices, sharded], [['model.recompute = true'], [], []]);
  const sliced = textsOf(jobOf({ model: { timeSlice: 256, keptMlps: 6 } }));
  assert.equal(sliced[1], ['model.recompute = "cheap"']);
  assert.equal(
    sliced[2],
    [5, 4, 2, 0].map((count) => `model.keptMlps = ${count}`),
  );
  assert.equal(sliced[5], []);
  const onGpus = textsOf(jobOf({ device: { kind: 'cuda', engine: 'nccl' } }));
  assert.equal(onGpus[7], ['model.precision = "bf16"']);
  assert.is(onGpus[5]![0], 'parallel.sp = 2 on 2 GPUs in place of 1');
  assert.equal(textsOf(jobOf({ optimizer: { moments: 'bf16' } }))[6], []);
});

/** A plan for which a rank takes 1 MiB a token that it keeps, but a quarter of that where blocks are recomputed. */
async function planOfTokens(jobSpec: JobSpec): Promise<Plan> {
  const { parallel, data, model } = jobSpec;
  if (data.sequenceLength < 256) {
    throw new LongscanError({ code: 'E-SHAPE', where: 'data', found: 'too short', exitCode: 2 });
  }
  const tokens = (data.sequenceLength / parallel.sp) * (data.batchSize / data.accumulate);
  const reservedBytes = 2 ** 20 * tokens * (model.recompute === true ? 1 / 4 : 1);
  const plan = plainPlan(jobSpec);
  return { ...plan, perRank: { ...plan.perRank, reservedBytes } };
}

const searchWithin = (mebibytes: number) => ({
  neededBytes: processBytes + 2 ** 33,
  replan: planOfTokens,
  limitOf: () => processBytes + 2 ** 20 * mebibytes,
});

test('settings that fit ~> the mildest of the first three kinds', async () => {
  const settings = await settingsThatFit(jobOf(), searchWithin(2048));
  assert.equal(settings, [
    { text: 'data.accumulate = 4', bytes: processBytes + 2 ** 31 },
    { text: 'model.recompute = true', bytes: processBytes + 2 ** 31 },
    { text: 'parallel.sp = 4 on 4 ranks in place of 1', bytes: processBytes + 2 ** 31 },
  ]);
  assert.is(
    adviceOf(settings),
    'data.accumulate = 4 (2.1 GiB), or model.recompute = true (2.1 GiB), or parallel.sp = 4 on 4 ranks in place of 1 (2.1 GiB)',
  );
});

test('settings that fit ~> the same as by trying all, in few tries, whatever part of a need the changes take hold of', async () => {
  const job = jobOf({ data: { batchSize: 1, sequenceLength: 2 ** 20 } });
  const kind = changesOf(job).at(-1)!;
  for (const fixed of [0, 1, 5, 60, 500]) {
    for (const limit of [2, 3, 17, 64, 100, 511, 1023, 2000]) {
      const need = ({ data, model, parallel, optimizer }: JobSpec) => {
        // Shorter sequences alone help.
        if (optimizer.moments === 'bf16') return 2 ** 40;
        if (model.recompute !== false || model.timeSlice > 0 || parallel.sp > 1) return 2 ** 40;
        return processBytes + 2 ** 20 * (fixed + data.sequenceLength / 1024);
      };
      const tried: number[] = [];
      const settings = await settingsThatFit(job, {
        neededBytes: need(job),
        replan: async (spec) => {
          if (need(spec) < 2 ** 40) tried.push(spec.data.sequenceLength);
          const plan = plainPlan(spec);
          return { ...plan, perRank: { ...plan.perRank, reservedBytes: need(spec) - processBytes } };
        },
        limitOf: () => processBytes + 2 ** 20 * limit,
      });
      const first = kind.find(({ jobSpec }) => need(jobSpec) <= processBytes + 2 ** 20 * limit);
      assert.is(settings[0]?.text, first?.text, `${fixed} of ${limit}`);
      assert.ok(tried.length <= 3, `${fixed} of ${limit}: ${tried}`);
    }
  }
});

test('settings that fit ~> what is far from fitting is only estimated, what is told is planned', async () => {
  const job = jobOf({ data: { batchSize: 1, sequenceLength: 2048 } });
  const planned: string[] = [];
  const within = (mebibytes: number) => ({
    ...searchWithin(mebibytes),
    estimate: async (spec: JobSpec) => {
      const { perRank, ...plan } = await planOfTokens(spec);
      return { ...plan, perRank: { ...perRank, reservedBytes: 0.9 * perRank.reservedBytes } };
    },
    replan: (spec: JobSpec) => {
      planned.push(`${spec.parallel.sp} ${spec.data.sequenceLength} ${spec.model.recompute}`);
      return planOfTokens(spec);
    },
  });
  const settings = await settingsThatFit(job, within(530));
  assert.is(settings[0]!.text, 'model.recompute = true');
  assert.is(settings[0]!.bytes, processBytes + 2 ** 29, 'as planned, not as estimated');
  assert.ok(planned.includes('1 2048 true'));
  planned.length = 0;
  const limit = processBytes + 2 ** 20 * 512;
  const nearly = await settingsThatFit(job, { ...within(512), limitOf: () => limit - 1 });
  assert.not(
    nearly.some(({ text }) => text === 'model.recompute = true'),
    'an estimate alone would fit',
  );
  assert.ok(planned.includes('1 2048 true'));
  assert.not(
    planned.some((one) => one.endsWith('cheap')),
    'twice what fits',
  );
});

test('settings that fit ~> two at once where one is not enough', async () => {
  const job = jobOf({ data: { batchSize: 1 } });
  // No sequence may be shorter than 256 tokens, and none is of so few ranks.
  const few = {
    ...searchWithin(64),
    limitOf: (spec: JobSpec) => (spec.parallel.sp > 1 ? 0 : processBytes + 2 ** 26),
  };
  const settings = await settingsThatFit(job, few);
  assert.equal(
    settings.map(({ text }) => text),
    ['model.recompute = true with data.sequenceLength = 256'],
  );
  assert.is(
    adviceOf(settings),
    'model.recompute = true with data.sequenceLength = 256 (192.0 MiB); nothing else that was tried fits',
  );
});

test('settings that fit ~> none; what is no refusal of a job is thrown on', async () => {
  assert.equal(await settingsThatFit(jobOf(), { ...searchWithin(0), limitOf: () => 0 }), []);
  assert.match(adviceOf([]), /^a smaller model, or parallel\.zero = 1/);
  const broken = { ...searchWithin(1), replan: () => Promise.reject(new RangeError('a fault of ours')) };
  await settingsThatFit(jobOf(), broken).then(
    () => assert.unreachable(),
    (error: Error) => assert.is(error.message, 'a fault of ours'),
  );
});

test.run();
