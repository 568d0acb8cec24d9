import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { jobHash } from './job-hash.js';
import { loadJob } from './load-job.js';
import { checkToml, inJobFolder, messageOf } from './testing.js';

const good = '[job]\nname = "small"\n\n[data]\npath = "text.txt"\n';

/** The lines that job.toml with this text is refused with. */
function errorsOf(text: string, set: readonly string[] = [], env: NodeJS.ProcessEnv = {}): Promise<string[]> {
  return messageOf(() => checkToml(text, set, env));
}

test('a small file is a whole job', async () => {
  const { jobSpec, folder } = await checkToml(good);
  assert.is(jobSpec.data.path, join(folder, 'text.txt'));
  assert.is(jobSpec.model.mlp, 704, '8/3 of 256, rounded up to a multiple of 64');
  assert.equal(
    jobSpec.model.layers,
    Array.from({ length: 4 }, () => ({ use: 'gla', options: {}, file: null })),
  );
  assert.is(jobSpec.parallel.strategy, 'auto');
});

test('defaults < file < environment < --set, and every origin is known', async () => {
  const text = `${good}[optimizer]\nlr = 0.1\nclipNorm = 2.0\nweightDecay = 0.3\n`;
  const env = { LONGSCAN_OPTIMIZER__LR: '0.2', LONGSCAN_OPTIMIZER__CLIP_NORM: '3' };
  const { jobSpec, originOf } = await checkToml(text, ['optimizer.lr=0.3', 'optimizer.lr=0.4'], env);
  assert.is(jobSpec.optimizer.lr, 0.4);
  assert.is(jobSpec.optimizer.clipNorm, 3);
  assert.is(jobSpec.optimizer.weightDecay, 0.3);
  assert.is(jobSpec.optimizer.eps, 1e-8);
  assert.equal(originOf('optimizer.lr'), { kind: 'set' });
  assert.equal(originOf('optimizer.clipNorm'), { kind: 'env', name: 'LONGSCAN_OPTIMIZER__CLIP_NORM' });
  assert.equal(originOf('optimizer.weightDecay'), {
    kind: 'file',
    file: 'job.toml',
    key: { line: 9, column: 1 },
    value: { line: 9, column: 15 },
  });
  assert.equal(originOf('optimizer.eps'), { kind: 'default' });
  assert.equal(originOf('model.mlp'), { kind: 'derived', from: 'model.dModel' });
});

test('every error at once, each with its place', async () => {
  const text = [
    '[job]',
    'name = "my job"',
    'steps = "10k"',
    'seed = 99999999999999999999',
    '[model]',
    'numLayers = 7.5',
    'precision = "fp32"',
    'tieEmbeddings = 1',
    'd_model = 3',
    '[optimizer]',
    'lr = nan',
    'betas = [0.9, 1.5]',
    'clipNorm = -1',
    'weightDecay = inf',
    '[training]',
    'learning_rate = 0.1',
    'nesterov = true',
    'momentum = 0.9',
    '[paralel]',
    'sp = 2',
    '[parallel]',
    'blocks = "aut"',
    'strategy = "all-scann"',
    '[data]',
    'batchSize = 0',
    'lr = 1',
  ].join('\n');
  assert.equal(
    await errorsOf(text, ['job.stesp=3', 'data.sequenceLength=5k'], { LONGSCAN_JOB__LOGEVERY: 'no' }),
    [
      'error[E-NAME] job.toml:2:8 job.name: "my job" (a string), expected letters, digits, ".", "_" and "-", at most 64, a letter or digit first. Fix: for example "my-job"',
      'error[E-CFG-RANGE] job.toml:4:8 job.seed: 99999999999999999999, expected an integer >= 0 and <= 4294967295. Fix: integers beyond 2^53 are not exact in this runtime',
      'error[E-CFG-TYPE] job.toml:3:9 job.steps: "10k" (a string), expected an integer >= 1. Fix: did you mean 10000?',
      'error[E-CFG-TYPE] env LONGSCAN_JOB__LOGEVERY job.logEvery: "no" (a string), expected an integer >= 1. Fix: set job.logEvery to such a value',
      'error[E-CFG-KEY] --set job.stesp: unknown key. Fix: did you mean job.steps?',
      'error[E-CFG-VALUE] job.toml:22:10 parallel.blocks: "aut" (a string), expected an integer >= 1 and <= 4096 or "auto". Fix: did you mean "auto"?',
      'error[E-CFG-RANGE] job.toml:11:6 optimizer.lr: NaN, expected a number > 0. Fix: set optimizer.lr to such a value',
      'error[E-CFG-RANGE] job.toml:12:15 optimizer.betas.1: 1.5, expected a number >= 0 and < 1. Fix: set optimizer.betas.1 to such a value',
      'error[E-CFG-RANGE] job.toml:14:15 optimizer.weightDecay: Infinity, expected a number >= 0. Fix: set optimizer.weightDecay to such a value',
      'error[E-CFG-RANGE] job.toml:13:12 optimizer.clipNorm: -1, expected a number >= 0. Fix: set optimizer.clipNorm to such a value',
      'error[E-CFG-TYPE] job.toml:6:13 model.numLayers: 7.5, expected an integer >= 1 and <= 4096. Fix: set model.numLayers to such a value',
      'error[E-CFG-TYPE] job.toml:8:17 model.tieEmbeddings: 1, expected true or false. Fix: set model.tieEmbeddings to such a value',
      'error[E-CFG-VALUE] job.toml:7:13 model.precision: "fp32" (a string), expected one of "f32", "bf16". Fix: did you mean "f32"?',
      'error[E-CFG-KEY] job.toml:9:1 model.d_model: unknown key. Fix: did you mean model.dModel?',
      'error[E-CFG-MISSING] job.toml:24:1 data.path: missing, expected a string that is not empty. Fix: add it to the job, or --set data.path=…',
      'error[E-CFG-TYPE] --set data.sequenceLength: "5k" (a string), expected an integer >= 1. Fix: did you mean 5000?',
      'error[E-CFG-RANGE] job.toml:25:13 data.batchSize: 0, expected an integer >= 1. Fix: set data.batchSize to such a value',
      'error[E-CFG-KEY] job.toml:26:1 data.lr: unknown key. Fix: it is optimizer.lr',
      'error[E-CFG-KEY] job.toml:16:1 training.learning_rate: unknown key. Fix: it is optimizer.lr',
      'error[E-CFG-KEY] job.toml:17:1 training.nesterov: unknown key. Fix: sections are job, model, data, parallel, optimizer, checkpoint, launch, device',
      'error[E-CFG-KEY] job.toml:18:1 training.momentum: unknown key. Fix: it is optimizer.betas',
      'error[E-CFG-KEY] job.toml:19:1 paralel: unknown section. Fix: did you mean [parallel]?',
      'error[E-REG] job.toml:23:12 parallel.strategy: unknown strategy "all-scann", expected one of auto, all-gather, all-scan, ring. Fix: did you mean all-scan?',
    ],
  );
});

test('keys that reach a prototype are refused wherever they stand', async () => {
  const text = `${good}__proto__ = 1\n[model]\nlayers = [{ use = "gla", constructor = 1 }]\n`;
  assert.equal(await errorsOf(text, ['model.layer.__proto__.x=1']), [
    'error[E-CFG-KEY] job.toml:6:1 data.__proto__: a key that no job may have. Fix: remove it',
    'error[E-CFG-KEY] job.toml:8:26 model.layers.0.constructor: a key that no job may have. Fix: remove it',
    'error[E-CFG-KEY] --set model.layer.__proto__.x: a key that no job may have. Fix: remove it',
  ]);
  assert.is(({} as { x?: number }).x, undefined);
});

test('what --set alone names is told as that, not as a place of the file', async () => {
  const lines = await errorsOf(good, ['modle.dModel=3', 'data.packnig.x=1', 'data.batchSize=-5']);
  assert.equal(lines.sort(), [
    'error[E-CFG-KEY] --set data.packnig: unknown key. Fix: did you mean data.packing?',
    'error[E-CFG-KEY] --set modle: unknown section. Fix: did you mean [model]?',
    'error[E-CFG-RANGE] --set data.batchSize: -5, expected an integer >= 1. Fix: set data.batchSize to such a value',
  ]);
});

test('a section that is no table, and a --set below a value', async () => {
  assert.equal(await errorsOf(`job = 3\n${good.slice(22)}`, ['job.steps=3', 'data.path.x=1']), [
    'error[E-CFG-TYPE] --set job.steps: job is not a table. Fix: set only one of job and job.steps',
    'error[E-CFG-TYPE] --set data.path.x: data.path is not a table. Fix: set only one of data.path and data.path.x',
    'error[E-CFG-TYPE] job.toml:1:7 job: 3, expected a table of settings. Fix: write a table, such as [model]',
  ]);
});

test('what later versions will do is refused, never ignored', async () => {
  const set = {
    'data.format': 'parquet',
    'data.tokenizer': 'bpe.json',
    'optimizer.nonFinite': 'skip',
    'checkpoint.async': true,
    'launch.restarts': 1,
    'launch.launcher': 'slurm',
  };
  const lines = await errorsOf(
    `${good}batchSize = 2\n`,
    Object.entries(set).map(([key, value]) => `${key}=${value}`),
  );
  for (const [index, [key, value]] of Object.entries(set).entries()) {
    const start = `error[E-CFG-UNSUPPORTED] --set ${key}: ${JSON.stringify(value)}, expected `;
    assert.is(lines[index]?.slice(0, start.length), start);
  }
  assert.is(lines.length, Object.keys(set).length);
  assert.equal(await errorsOf(good, ['launch.launcher=locl']), [
    'error[E-REG] --set launch.launcher: unknown launcher "locl", expected one of local. Fix: did you mean local?',
  ]);
  assert.is(
    lines[0],
    'error[E-CFG-UNSUPPORTED] --set data.format: "parquet", expected "bytes" or "text" or "jsonl". Fix: this format is not in this version of longscan',
  );
});

test('what only one kind of device can do', async () => {
  const onCpu = ['model.precision=bf16', 'device.engine=nccl'];
  assert.equal(await errorsOf(good, onCpu), [
    'error[E-CFG-UNSUPPORTED] --set device.engine: "nccl" with device.kind = "cpu", expected "tcp". Fix: device.engine = "tcp", or device.kind = "cuda"',
    'error[E-CFG-UNSUPPORTED] --set model.precision: "bf16" with device.kind = "cpu", expected "f32". Fix: model.precision = "f32", or device.kind = "cuda"',
  ]);
  const onGpu = ['device.kind=cuda', 'device.engine=ucx', 'job.deterministic=true'];
  assert.equal(await errorsOf(good, onGpu), [
    'error[E-CFG-UNSUPPORTED] --set device.engine: "ucx" with device.kind = "cuda", expected "nccl". Fix: device.engine = "nccl"',
    'error[E-CFG-UNSUPPORTED] --set job.deterministic: true with device.kind = "cuda", expected false. Fix: job.deterministic = false, or device.kind = "cpu"',
  ]);
});

test('what deterministic mode keeps anyway is not asked for again', async () => {
  assert.equal(await errorsOf(good, ['job.deterministic=true', 'model.recompute=cheap']), [
    'error[E-CFG-VALUE] --set model.recompute: "cheap" with job.deterministic = true, which keeps every output, expected false or true. Fix: model.recompute = true, or job.deterministic = false',
  ]);
  assert.equal(await errorsOf(good, ['job.deterministic=true', 'parallel.gradientBucket=4MiB']), [
    'error[E-CFG-VALUE] --set parallel.gradientBucket: "4MiB" with job.deterministic = true, which sums all gradients at once, expected "auto". Fix: leave parallel.gradientBucket out, or job.deterministic = false',
  ]);
});

test('the engine follows from the device', async () => {
  const cpu = await checkToml(good, []);
  const gpu = await checkToml(good, ['device.kind=cuda', 'model.precision=bf16']);
  assert.equal([cpu.jobSpec.device.engine, gpu.jobSpec.device.engine], ['tcp', 'nccl']);
  assert.equal(gpu.originOf('device.engine'), { kind: 'derived', from: 'device.kind' });
  // A run may go on on another device.
  assert.is(jobHash({ ...gpu.jobSpec, data: cpu.jobSpec.data }), jobHash(cpu.jobSpec));
});

test('deterministic mode: powers of two, and nothing that adds in another order', async () => {
  const set = ['job.canonicalSegments=6', 'parallel.sp=8', 'parallel.dp=3', 'data.batchSize=9'];
  assert.equal(await errorsOf(good, ['job.deterministic=true', 'data.carry=true', ...set]), [
    'error[E-CFG-VALUE] --set job.canonicalSegments: 6 in deterministic mode, expected a power of two. Fix: job.canonicalSegments = 4 or 8',
    'error[E-CFG-VALUE] --set parallel.dp: 3 in deterministic mode, expected a power of two. Fix: parallel.dp = 2 or 4',
    'error[E-CFG-VALUE] --set data.batchSize: 9 in deterministic mode, expected a power of two. Fix: data.batchSize = 8 or 16',
    'error[E-CFG-VALUE] --set data.carry: true in deterministic mode, whose sequences begin with an empty memory, expected false. Fix: data.carry = false, or job.deterministic = false',
  ]);
  assert.equal(await errorsOf(good, ['job.deterministic=true', 'job.canonicalSegments=4', 'parallel.sp=8']), [
    'error[E-CFG-VALUE] --set parallel.sp: 8 ranks for 4 canonical segments of a sequence, expected at least one whole segment on every rank. Fix: parallel.sp = 4, or job.canonicalSegments = 8 for every run of the job',
  ]);
  assert.equal(await errorsOf(good, ['job.canonicalSegments=4']), [
    'error[E-CFG-VALUE] --set job.canonicalSegments: 4 without job.deterministic, expected no such key. Fix: job.deterministic = true',
  ]);
  const { jobSpec } = await checkToml(good, ['job.deterministic=true']);
  assert.is(jobSpec.job.canonicalSegments, 8);
});

test('rules between keys', async () => {
  const set = ['launch.heartbeatIntervalMs=5000', 'checkpoint.keep=1', 'model.vocabSize=100'];
  assert.equal(await errorsOf(good, set), [
    'error[E-TIMEOUT-ORDER] job.toml launch.heartbeatTimeoutMs: heartbeatTimeoutMs 5000 <= heartbeatIntervalMs 5000, expected heartbeatIntervalMs < heartbeatTimeoutMs < collectiveTimeoutMs. Fix: raise heartbeatTimeoutMs, or lower heartbeatIntervalMs',
    'error[E-CKPT-KEEP] --set checkpoint.keep: 1, expected 0 (keep all) or at least 2. Fix: keep 2: the newest checkpoint may be the one being written',
    'error[E-CFG-RANGE] --set model.vocabSize: 100, expected at least 256, one token per byte value. Fix: leave vocabSize out, or set it to 256 or more',
  ]);
});

test('sharding of optimizer state: stage 1, and not in deterministic mode', async () => {
  assert.is((await checkToml(good, ['parallel.zero=1'])).jobSpec.parallel.zero, 1);
  const [unsupported] = await errorsOf(good, ['parallel.zero=2']);
  assert.match(unsupported!, 'error[E-CFG-UNSUPPORTED] --set parallel.zero: 2, expected 0 or 1.');
  const lines = await errorsOf(good, ['parallel.zero=1', 'job.deterministic=true']);
  assert.match(lines.join('\n'), 'error[E-CFG-VALUE] --set parallel.zero: 1 with job.deterministic = true');
});

test('documents are where the format or a separator says', async () => {
  assert.equal(await errorsOf(good, ['data.packing=true']), [
    'error[E-CFG-VALUE] --set data.packing: true, but data.format = "bytes" without data.separator is one document, expected documents to pack. Fix: name the string that begins a document, for example data.separator = "CHAPTER ", or set data.format = "jsonl"',
  ]);
  const [both, carried, file] = await errorsOf(good, [
    ...['data.format=jsonl', 'data.separator=CHAPTER ', 'data.carry=true'],
  ]);
  assert.match(both!, /E-CFG-VALUE\] --set data.separator: "CHAPTER " with data.format = "jsonl"/);
  assert.match(carried!, /E-CFG-VALUE\] --set data.carry: true with documents that are not packed/);
  assert.match(file!, /E-DATA-JSONL\] .*text.txt:1: a line that is not JSON/);
  const [unfit] = await errorsOf(good, ['data.separator=CHAPTER ', 'data.packing=true']);
  assert.match(unfit!, /E-DATA-SEPARATOR\] data.separator in .*text.txt: no "CHAPTER " but/);
  const { jobSpec } = await checkToml(good, ['data.separator=xxx', 'data.packing=true']);
  assert.is(jobSpec.data.separator, 'xxx');
});

test('a layout that leaves a rank without work', async () => {
  assert.equal(await errorsOf(`${good}sequenceLength = 100\n[parallel]\nsp = 4\n`), [
    'error[E-SHAPE] job.toml:8:6 parallel.sp: 100 tokens in slices of 64 (whole chunks of 64) fill 2 of 4 ranks, expected at least one token on every rank. Fix: data.sequenceLength >= 193, or parallel.sp = 2, or model.chunk = 32',
  ]);
  assert.equal(await errorsOf(good, ['parallel.dp=2']), [
    'error[E-SHAPE] job.toml:4:1 data.batchSize: 1 sequences for 2 equal shares (parallel.dp x data.accumulate), expected a multiple of 2. Fix: data.batchSize = 2',
  ]);
});

test('a pattern of layers is repeated, with defaults per layer', async () => {
  const text = `${good}[model]\nnumLayers = 4\nlayers = ["lightning", { use = "gla", numHeads = 8 }]\n[model.layer.gla]\nexpandK = 1\nnumHeads = 2\n`;
  const { jobSpec } = await checkToml(text);
  const lightning = { use: 'lightning', options: {}, file: null };
  const gla = { use: 'gla', options: { expandK: 1, numHeads: 8 }, file: null };
  assert.equal(jobSpec.model.layers, [lightning, gla, lightning, gla]);
});

test('bad layers', async () => {
  const text = `${good}[model]\nnumLayers = 4\nlayers = ["gal", "./mine.ts", { use = "gla", expandV = 1, numHeads = "4", featureMap = "elu" }]\n[model.layer.rwkv]\nx = 1\n`;
  const lines = await errorsOf(text);
  assert.match(
    lines[1] ?? '',
    /no layer file .*mine\.ts\. Fix: a path counts from the job file; longscan layers new FILE/,
  );
  assert.equal(
    [lines[0], ...lines.slice(2)],
    [
      'error[E-REG] job.toml:8:11 model.layers.0: unknown layer "gal", expected one of gla, lightning, linear-attention, or a path. Fix: did you mean gla?',
      'error[E-REG] job.toml:9:1 model.layer.rwkv: unknown layer "rwkv", expected one of gla, lightning, linear-attention, or a path. Fix: longscan layers lists them with their options',
      'error[E-CFG-KEY] job.toml:8:46 model.layers.2.expandV: layer gla has no such option. Fix: did you mean expandK?',
      'error[E-CFG-TYPE] job.toml:8:70 model.layers.2.numHeads: "4" (a string), expected a number like the default 4. Fix: set numHeads to such a value',
      'error[E-CFG-VALUE] job.toml:8:88 model.layers.2.featureMap: "elu" (a string), expected one of "identity", "elu1". Fix: did you mean elu1?',
      'error[E-SHAPE] job.toml:8:10 model.layers: a pattern of 3 layers for numLayers 4, expected a length that divides numLayers. Fix: numLayers = 3 or 6',
    ],
  );
});

test('a layer file counts from the job file', async () => {
  await inJobFolder({ 'job.toml': `${good}[model]\nlayers = "mine.ts"\n`, 'mine.ts': '' }, async (folder) => {
    const { jobSpec } = await loadJob('job.toml', { env: {} });
    assert.equal(jobSpec.model.layers[0], { use: 'mine.ts', options: {}, file: join(folder, 'mine.ts') });
  });
});

test('the text: missing, empty, too short (exit code 4)', async () => {
  const cases: [string[], RegExp][] = [
    [['data.path=none.txt'], /^error\[E-DATA-NONE\] data\.path .*none\.txt: no such file/],
    [['data.path=.'], /^error\[E-DATA-NONE\] data\.path .*: it is a folder/],
    [['data.path=empty.txt'], /^error\[E-DATA-EMPTY\] data\.path .*empty\.txt: 0 bytes/],
    [
      ['data.sequenceLength=9500'],
      /^error\[E-DATA-EMPTY\] data\.path .*: 9500 bytes without the held-out 5 %, expected at least 9501/,
    ],
    [['data.validation=none.txt'], /^error\[E-DATA-NONE\] data\.validation .*none\.txt: no such file/],
  ];
  await inJobFolder({ 'job.toml': good, 'empty.txt': '' }, async () => {
    for (const [overrides, message] of cases) {
      const layer = 'model.layers=./empty.txt';
      const error = await loadJob('job.toml', { overrides: [layer, ...overrides], env: {} }).catch((e) => e);
      assert.match(error.message, message);
      assert.is(error.exitCode, 4);
    }
  });
});

test('a job written by a script: paths count from the current folder', async () => {
  await inJobFolder({ 'mine.js': '' }, async (folder) => {
    const job = { data: { path: 'text.txt' }, model: { layers: './mine.js' } };
    const { jobSpec, originOf } = await loadJob(job, { overrides: { 'job.steps': 3 }, env: {} });
    assert.is(jobSpec.data.path, join(folder, 'text.txt'));
    assert.is(jobSpec.job.steps, 3);
    assert.equal(originOf('data.path'), { kind: 'script' });
    assert.equal(originOf('data.batchSize'), { kind: 'default' });
    const error = await loadJob({ dta: {} }, { env: {} }).catch((e) => e);
    assert.equal(error.message.split('\n').slice(0, 2), [
      'error[E-CFG-MISSING] job data.path: missing, expected a string that is not empty. Fix: add it to the job, or --set data.path=…',
      'error[E-CFG-KEY] job dta: unknown section. Fix: did you mean [data]?',
    ]);
  });
});

test('parallel.fabric ~> a preset, or a file that counts from the job file; what is wrong with it is told with all the rest', async () => {
  const link = 'latencyS = 1e-5\ngapS = 1e-5\nbandwidthBytesPerS = 1e9\n';
  const good = `schema = 1\nname = "mine"\n[link]\n${link}`;
  const job = '[data]\npath = "text.txt"\n[parallel]\nfabric = "links/mine.toml"\n';
  await inJobFolder({ 'job.toml': job, 'bad.toml': good.replace('1e9', '-1') }, async (folder) => {
    mkdirSync('links');
    writeFileSync('links/mine.toml', good);
    const load = async (...overrides: string[]) =>
      (await loadJob('job.toml', { overrides, env: {} })).jobSpec.parallel.fabric;
    assert.is(await load(), join(folder, 'links', 'mine.toml'));
    assert.is(await load('parallel.fabric=h200'), 'h200');
    assert.is(await load('parallel.fabric=auto'), 'auto');
    assert.is(await load('parallel.fabric=probe'), 'probe');
    const messages = (fabric: string) => messageOf(() => load(`parallel.fabric=${fabric}`, 'parallel.sp=0'));
    const [sp, preset] = await messages('loopback');
    assert.match(sp!, /parallel\.sp: 0/);
    assert.is(
      preset,
      'error[E-REG] --set parallel.fabric: unknown fabric "loopback", expected one of auto, probe, loopback-tcp, h200-vm, h100, h200, or the path of a fabric file (with a "/" or a "."). Fix: use one of auto, probe, loopback-tcp, h200-vm, h100, h200',
    );
    assert.match(
      (await messages('none.json'))[1]!,
      /E-CFG-READ\] --set parallel\.fabric: \/.*none\.json: no such file/,
    );
    assert.match(
      (await messages('bad.toml'))[1]!,
      /bad\.toml:6:\d+ link\.bandwidthBytesPerS: -1, expected a finite number > 0\. Fix: correct it there/,
    );
  });
});

test.run();
