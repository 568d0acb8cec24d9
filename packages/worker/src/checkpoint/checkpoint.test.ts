import { createHash } from 'node:crypto';
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { checkpointsFolder, latestCommitted, listCheckpoints } from './list.js';
import { checkSignature, openCheckpoint, resolveCheckpoint } from './load.js';
import { readManifest } from './manifest.js';
import { saveCheckpoint } from './save.js';
import { sampleContent, sampleContext } from './testing.js';
import { latestValid, verifyCheckpoint } from './verify.js';

const test = suite<{ dir: string }>('checkpoint');
test.before.each((context) => {
  context.dir = mkdtempSync(path.join(os.tmpdir(), 'longscan-ckpt-'));
});
test.after.each(({ dir }) => rmSync(dir, { recursive: true }));

interface Failure {
  code: string;
  message: string;
  exitCode: number;
}

async function failure(work: () => unknown): Promise<Failure> {
  try {
    await work();
  } catch (error) {
    return error as Failure;
  }
  throw new Error('nothing was thrown');
}

function save(runDir: string, step: number, keep = 0): Promise<string> {
  return saveCheckpoint(runDir, sampleContent(step), sampleContext(step), { keep });
}

test('what is saved is read back', async ({ dir }) => {
  const saved = await save(dir, 7);
  assert.is(saved, path.join(dir, 'checkpoints/step-000007'));
  const checkpoint = await openCheckpoint(saved);
  const content = sampleContent(7);
  for (const [part, entries] of [
    ['parameters', content.parameters],
    ['optimizer', content.optimizer],
  ] as const)
    for (const [name, { data }] of entries) assert.equal(await checkpoint[part].read(name), data);
  assert.equal(checkpoint.manifest.trainer, content.trainer);
  assert.is(checkpoint.manifest.step, 7);
  assert.equal(checkpoint.manifest.world, { sp: 2, dp: 1 });
  assert.equal(checkpoint.manifest.jobSpec, sampleContext(7).jobSpec);
  assert.equal(checkpoint.manifest.signature[1], { name: 'layers.0.gate', dtype: 'bf16', shape: [3] });
  await checkpoint.close();
});

test('lists by step, and the newest committed one is the latest', async ({ dir }) => {
  for (const step of [900, 1_000_000, 20]) await save(dir, step);
  rmSync(path.join(dir, 'checkpoints/step-1000000/COMMITTED'));
  assert.equal(
    listCheckpoints(dir).map(({ step, isCommitted }) => [step, isCommitted]),
    [
      [20, true],
      [900, true],
      [1_000_000, false],
    ],
  );
  assert.is(latestCommitted(dir).step, 900);
  assert.ok(latestCommitted(dir).bytes > 500);
});

test('keeps the newest ones and the one just written', async ({ dir }) => {
  for (const step of [10, 20, 30, 40]) await save(dir, step, 2);
  assert.equal(readdirSync(checkpointsFolder(dir)).sort(), ['step-000030', 'step-000040']);
  await save(dir, 5, 2);
  assert.equal(readdirSync(checkpointsFolder(dir)).sort(), ['step-000005', 'step-000030', 'step-000040']);
});

test('keeping only one is refused before anything is written', async ({ dir }) => {
  const error = await failure(() => save(dir, 10, 1));
  assert.is(error.code, 'E-CKPT-KEEP');
  assert.is(error.exitCode, 2);
  assert.equal(readdirSync(dir), []);
});

test('saving a step again replaces it', async ({ dir }) => {
  await save(dir, 10);
  const saved = await saveCheckpoint(dir, sampleContent(99), sampleContext(10), { keep: 2 });
  assert.is((await verifyCheckpoint(saved)).trainer.rng, '99');
  assert.equal(readdirSync(checkpointsFolder(dir)), ['step-000010']);
});

test('nothing there is E-CKPT-NONE, an unfinished save E-CKPT-PARTIAL', async ({ dir }) => {
  assert.is((await failure(() => latestCommitted(dir))).code, 'E-CKPT-NONE');
  assert.is((await failure(() => latestValid(dir))).code, 'E-CKPT-NONE');
  assert.is((await failure(() => verifyCheckpoint(path.join(dir, 'gone')))).code, 'E-CKPT-NONE');
  rmSync(path.join(await save(dir, 3), 'COMMITTED'));
  assert.is((await failure(() => latestCommitted(dir))).code, 'E-CKPT-PARTIAL');
  const error = await failure(() => verifyCheckpoint(path.join(dir, 'checkpoints/step-000003')));
  assert.is(error.code, 'E-CKPT-PARTIAL');
  assert.is(error.exitCode, 4);
});

test('one flipped bit anywhere is found, and names the file', async ({ dir }) => {
  const saved = await save(dir, 10);
  const damaged = path.join(dir, 'damaged');
  for (const file of readdirSync(saved)) {
    const { length } = readFileSync(path.join(saved, file));
    // Every byte of a short file, about fifty spread ones of a long one.
    for (let at = 0; at < length; at += Math.max(1, Math.floor(length / 50))) {
      cpSync(saved, damaged, { recursive: true });
      const bytes = readFileSync(path.join(damaged, file));
      bytes[at]! ^= 1 << (at % 8);
      writeFileSync(path.join(damaged, file), bytes);
      const error = await failure(() => verifyCheckpoint(damaged));
      assert.ok(
        ['E-CKPT-CORRUPT', 'E-CKPT-VERSION'].includes(error.code),
        `${file} byte ${at}: ${error.message}`,
      );
      rmSync(damaged, { recursive: true });
    }
  }
});

test('a file cut short, grown, missing or swapped is found', async ({ dir }) => {
  const saved = await save(dir, 10);
  const damages: [RegExp, (damaged: string) => void][] = [
    [
      /parameters.safetensors: \d+ bytes, expected \d+/,
      (d) => truncateSync(path.join(d, 'parameters.safetensors'), 100),
    ],
    [
      /optimizer.safetensors: \d+ bytes, expected/,
      (d) => writeFileSync(path.join(d, 'optimizer.safetensors'), 'x', { flag: 'a' }),
    ],
    [/optimizer.safetensors: the file is missing/, (d) => rmSync(path.join(d, 'optimizer.safetensors'))],
    [
      /parameters.safetensors: (sha256|\d+ bytes)/,
      (d) => copyFileSync(path.join(d, 'optimizer.safetensors'), path.join(d, 'parameters.safetensors')),
    ],
    [/manifest.json: not JSON/, (d) => truncateSync(path.join(d, 'manifest.json'), 50)],
    [/manifest.json: sha256/, (d) => truncateSync(path.join(d, 'COMMITTED'), 3)],
  ];
  for (const [says, damage] of damages) {
    const damaged = path.join(dir, 'damaged');
    cpSync(saved, damaged, { recursive: true });
    damage(damaged);
    const error = await failure(() => openCheckpoint(damaged));
    assert.is(error.code, 'E-CKPT-CORRUPT');
    assert.match(error.message, says);
    rmSync(damaged, { recursive: true });
  }
});

test('a checkpoint under the name of another step is refused, and by its own name, or none, is whole', async ({
  dir,
}) => {
  const saved = await save(dir, 10);
  const folder = checkpointsFolder(dir);
  for (const name of ['step-000020', 'step-000020.left', 'step-000005.left-2']) {
    const other = path.join(folder, name);
    renameSync(saved, other);
    const { code, message } = await failure(() => verifyCheckpoint(other));
    assert.is(code, 'E-CKPT-CORRUPT');
    assert.match(
      message,
      /of step 10 in a folder named for step \d+, expected the name step-000010\. Fix: give/,
    );
    renameSync(other, saved);
  }
  for (const name of ['step-000010.left', 'best']) {
    renameSync(saved, path.join(folder, name));
    assert.is((await verifyCheckpoint(path.join(folder, name))).step, 10);
    renameSync(path.join(folder, name), saved);
  }
  // The newest by its name alone: what is gone on from is the one behind it, as it is listed.
  cpSync(saved, path.join(folder, 'step-000020'), { recursive: true });
  const { checkpoint, skipped } = await latestValid(dir);
  assert.equal([checkpoint.step, skipped.length], [10, 1]);
});

test('what is there and cannot be read is said so, in an error of its own', async ({ dir }) => {
  const saved = await save(dir, 10);
  for (const file of ['COMMITTED', 'manifest.json', 'parameters.safetensors']) {
    const inside = path.join(saved, file);
    const kept = readFileSync(inside);
    rmSync(inside);
    symlinkSync(file, inside);
    const error = await failure(() => verifyCheckpoint(saved));
    assert.equal([error.code, error.exitCode], ['E-DISK', 3], error.message);
    assert.ok(error.message.includes(`${inside}: cannot be read (ELOOP)`), error.message);
    rmSync(inside);
    writeFileSync(inside, kept);
  }
  const file = path.join(checkpointsFolder(dir), 'step-000011');
  writeFileSync(file, '');
  assert.match((await failure(() => verifyCheckpoint(file))).message, `E-CKPT-NONE] ${file}: a file`);
  const loop = path.join(checkpointsFolder(dir), 'step-000012');
  symlinkSync('step-000012', loop);
  for (const look of [() => listCheckpoints(dir), () => latestValid(dir)]) {
    const { code, exitCode, message } = await failure(look);
    assert.equal([code, exitCode], ['E-DISK', 3]);
    assert.ok(message.includes(`${loop}: cannot be read (ELOOP)`), message);
  }
});

test('a newer checkpoint that cannot be read for the moment is not passed over', async ({ dir }) => {
  await save(dir, 10);
  const newest = await save(dir, 20);
  for (const [file, target, code] of [
    // What reading it gives is EIO.
    ['COMMITTED', '/proc/self/mem', 'EIO'],
    ['manifest.json', '/proc/self/mem', 'EIO'],
    ['optimizer.safetensors', 'optimizer.safetensors', 'ELOOP'],
  ] as const) {
    const inside = path.join(newest, file);
    renameSync(inside, path.join(dir, 'kept'));
    symlinkSync(target, inside);
    const error = await failure(() => latestValid(dir));
    assert.is(error.code, 'E-DISK', error.message);
    assert.ok(error.message.includes(`${inside}: cannot be read (${code})`), error.message);
    assert.match(error.message, 'or move its checkpoint away');
    rmSync(inside);
    // What is no file at all stays as it is: damage.
    mkdirSync(inside);
    assert.is((await latestValid(dir)).checkpoint.step, 10);
    rmSync(inside, { recursive: true });
    renameSync(path.join(dir, 'kept'), inside);
  }
  assert.is((await latestValid(dir)).checkpoint.step, 20);
});

test('falls back to the newest whole checkpoint and says what it skipped', async ({ dir }) => {
  for (const step of [10, 20, 30]) await save(dir, step);
  truncateSync(path.join(dir, 'checkpoints/step-000030/parameters.safetensors'), 100);
  rmSync(path.join(dir, 'checkpoints/step-000020/COMMITTED'));
  const { checkpoint, skipped } = await latestValid(dir);
  assert.is(checkpoint.step, 10);
  assert.equal(
    skipped.map(({ error }) => error.code),
    ['E-CKPT-CORRUPT', 'E-CKPT-PARTIAL'],
  );
});

test('a newer format version is E-CKPT-VERSION, whatever else it holds', async ({ dir }) => {
  const saved = await save(dir, 10);
  writeFileSync(path.join(saved, 'manifest.json'), '{"formatVersion":3,"shards":[]}');
  assert.match(
    (await failure(() => verifyCheckpoint(saved))).message,
    /E-CKPT-VERSION.*version 3, expected at most 2/,
  );
});

test('a manifest of no version, or with what this one does not know, says so', async ({ dir }) => {
  const saved = await save(dir, 10);
  const file = path.join(saved, 'manifest.json');
  const manifest = JSON.parse(readFileSync(file, 'utf8'));
  const cases: [unknown, string][] = [
    [{ ...manifest, formatVersion: 0 }, 'format version 0, expected a whole number up to 2'],
    [{ ...manifest, formatVersion: '1' }, 'format version "1", expected a whole number up to 2'],
    [null, 'format version null, expected a whole number up to 2'],
    [
      { ...manifest, shards: [] },
      `${file}: Unrecognized key: "shards", expected the manifest of a checkpoint of this version`,
    ],
    [{ ...manifest, world: { sp: 0, dp: 1 } }, `${file}: world.sp: Too small`],
  ];
  for (const [value, says] of cases) {
    writeFileSync(file, JSON.stringify(value));
    const { code, message } = await failure(() => verifyCheckpoint(saved));
    assert.is(code, 'E-CKPT-CORRUPT');
    assert.ok(message.includes(says), message);
  }
});

test('a manifest that vouches for no tensors is no whole checkpoint', async ({ dir }) => {
  const saved = await save(dir, 10);
  const file = path.join(saved, 'manifest.json');
  const bytes = JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), files: {} });
  writeFileSync(file, bytes);
  writeFileSync(path.join(saved, 'COMMITTED'), `${createHash('sha256').update(bytes).digest('hex')}\n`);
  assert.match(
    (await failure(() => verifyCheckpoint(saved))).message,
    /parameters.safetensors: not in the manifest/,
  );
});

test('a checkpoint of version 1 ~> read as ever; of its texts nothing is known', async ({ dir }) => {
  const saved = await save(dir, 10);
  const { texts, ...manifest } = (await readManifest(saved)).manifest;
  assert.ok(texts !== null);
  const old = JSON.stringify({ ...manifest, formatVersion: 1 });
  writeFileSync(path.join(saved, 'manifest.json'), old);
  writeFileSync(path.join(saved, 'COMMITTED'), `${createHash('sha256').update(old).digest('hex')}\n`);
  assert.equal(await verifyCheckpoint(saved), { ...manifest, formatVersion: 1, texts: null });
});

test('a manifest cannot point outside its folder', async ({ dir }) => {
  const saved = await save(dir, 10);
  const file = path.join(saved, 'manifest.json');
  writeFileSync(file, readFileSync(file, 'utf8').replace('"parameters.safetensors"', '"../../secret"'));
  assert.match((await failure(() => verifyCheckpoint(saved))).message, /E-CKPT-CORRUPT.*files/);
});

test('another model is E-CKPT-MODEL with the first five differences and their count', async ({ dir }) => {
  const saved = await save(dir, 10);
  const manifest = await verifyCheckpoint(saved);
  checkSignature(
    manifest,
    saved,
    manifest.signature.map((tensor) => ({ ...tensor, dtype: 'f32' })),
  );
  const others = Array.from({ length: 6 }, (_, i) => ({ name: `layers.${i}.q`, dtype: 'f32', shape: [4] }));
  const model = [{ name: 'embedding.weight', dtype: 'f32', shape: [3, 2] }, ...others];
  const error = await failure(() => checkSignature(manifest, saved, model));
  assert.is(error.code, 'E-CKPT-MODEL');
  assert.match(error.message, '8 parameters differ');
  assert.match(error.message, 'embedding.weight is [2, 3] in the checkpoint and [3, 2] in the model');
  assert.match(error.message, 'layers.3.q [4] is only in the model; and 3 more');
  const fewer = await failure(() => checkSignature(manifest, saved, manifest.signature.slice(1)));
  assert.match(fewer.message, 'embedding.weight [2, 3] is only in the checkpoint');
});

test('a run or a checkpoint can be named; a pickle is refused unread', async ({ dir }) => {
  const saved = await save(dir, 10);
  assert.is(resolveCheckpoint(dir), saved);
  assert.is(resolveCheckpoint(saved), saved);
  assert.is((await failure(() => resolveCheckpoint(path.join(dir, 'gone')))).code, 'E-CKPT-NONE');
  assert.is((await failure(() => resolveCheckpoint(path.join(saved, 'manifest.json')))).code, 'E-CKPT-NONE');
  const inAFile = path.join(saved, 'manifest.json', 'x');
  assert.is((await failure(() => resolveCheckpoint(inAFile))).code, 'E-CKPT-NONE');
  const empty = path.join(dir, 'empty');
  mkdirSync(empty);
  assert.is((await failure(() => resolveCheckpoint(empty))).code, 'E-CKPT-NONE');
  cpSync(path.join(saved, 'parameters.safetensors'), path.join(empty, 'parameters.safetensors'));
  assert.is(resolveCheckpoint(empty), empty, 'a save that was cut off is for its reader to refuse');
  for (const name of ['model.pt', 'pytorch_model.bin', 'x.pkl']) {
    const error = await failure(() => resolveCheckpoint(path.join(dir, name)));
    assert.is(error.code, 'E-PICKLE');
    assert.is(error.exitCode, 7);
  }
});

test.run();
