import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { nodeFs } from './durable-fs.js';
import { SafetensorsFile } from './safetensors-reader.js';
import { safetensorsBytes, type TensorEntries, writeSafetensors } from './safetensors-writer.js';

const test = suite<{ dir: string; file: string }>('safetensors');
test.before.each((context) => {
  context.dir = mkdtempSync(path.join(os.tmpdir(), 'longscan-st-'));
  context.file = path.join(context.dir, 'x.safetensors');
});
test.after.each(({ dir }) => rmSync(dir, { recursive: true }));

const tensors: TensorEntries = new Map([
  ['a', { dtype: 'bf16', shape: [3], data: Buffer.from([1, 2, 3, 4, 5, 6]) }],
  ['__proto__', { dtype: 'f32', shape: [], data: Buffer.from([7, 8, 9, 10]) }],
  ['empty', { dtype: 'i32', shape: [0, 5], data: Buffer.alloc(0) }],
  ['é "quoted"', { dtype: 'f64', shape: [1, 1], data: async () => Buffer.alloc(8, 11) }],
]);

/** A file with this header and data, as another program might have made it. */
function craft(file: string, header: unknown, data: Uint8Array, lengthPrefix?: bigint): string {
  const json =
    typeof header === 'string' ? Buffer.from(header, 'latin1') : Buffer.from(JSON.stringify(header));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(lengthPrefix ?? BigInt(json.length));
  writeFileSync(file, Buffer.concat([prefix, json, data]));
  return file;
}

async function failure(file: string): Promise<{ code: string; message: string; exitCode: number }> {
  try {
    await (await SafetensorsFile.open(file)).close();
  } catch (error) {
    return error as { code: string; message: string; exitCode: number };
  }
  throw new Error('the file was accepted');
}

test('what is written is read back: names, dtypes, shapes, bytes', async ({ file }) => {
  const record = await writeSafetensors(nodeFs, file, tensors);
  assert.is(record.bytes, readFileSync(file).length);
  assert.is(record.bytes, safetensorsBytes(tensors));
  const opened = await SafetensorsFile.open(file);
  assert.equal([...opened.tensors.keys()].sort(), [...tensors.keys()].sort());
  for (const [name, { dtype, shape, data }] of tensors) {
    assert.is(opened.tensors.get(name)?.dtype, dtype);
    assert.equal(opened.tensors.get(name)?.shape, shape);
    assert.equal(await opened.read(name), typeof data === 'function' ? await data() : data);
  }
  await opened.close();
});

test('the data starts at a multiple of 8 and every tensor at one of its element size', async ({ file }) => {
  await writeSafetensors(nodeFs, file, tensors);
  assert.is(Number(readFileSync(file).readBigUInt64LE()) % 8, 0);
  const opened = await SafetensorsFile.open(file);
  assert.is(opened.tensors.get('é "quoted"')!.start, 0);
  assert.is(opened.tensors.get('__proto__')!.start % 4, 0);
  await opened.close();
});

test('no tensors at all is a valid file', async ({ file }) => {
  await writeSafetensors(nodeFs, file, new Map());
  const opened = await SafetensorsFile.open(file);
  assert.is(opened.tensors.size, 0);
  await opened.close();
});

test('a tensor whose data has another size than its shape is refused when written', async ({ file }) => {
  const wrong: TensorEntries = new Map([['w', { dtype: 'f32', shape: [2], data: Buffer.alloc(9) }]]);
  try {
    await writeSafetensors(nodeFs, file, wrong);
    assert.unreachable();
  } catch (error) {
    assert.match((error as Error).message, /E-ST-SHAPE.*"w".*9 bytes to write, expected 8/);
  }
});

test('reads a file of another writer: metadata, padding, tensors in any order', async ({ file }) => {
  const header = `{"__metadata__":{"format":"pt"},"b":{"dtype":"U8","shape":[2],"data_offsets":[4,6]},
    "a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}   `;
  const opened = await SafetensorsFile.open(craft(file, header, Buffer.from([0, 0, 128, 63, 8, 9])));
  assert.equal(await opened.read('b'), Buffer.from([8, 9]));
  assert.is((await opened.read('a')).readFloatLE(), 1);
  await opened.close();
});

const a = { dtype: 'F32', shape: [1], data_offsets: [0, 4] };
const four = Buffer.alloc(4);
const refused: [
  name: string,
  code: string,
  header: unknown,
  data: Uint8Array,
  says: RegExp,
  prefix?: bigint,
][] = [
  ['a header over the cap', 'E-ST-HEADER', {}, four, /header of 100000001 bytes/, 100_000_001n],
  ['a header length of 2^64 − 1', 'E-ST-HEADER', {}, four, /18446744073709551615/, 2n ** 64n - 1n],
  ['a header past the end', 'E-ST-TRUNCATED', {}, four, /header of 7 bytes/, 7n],
  ['a header that is not JSON', 'E-ST-HEADER', '{"a":', four, /not UTF-8 JSON/],
  ['a header that is not UTF-8', 'E-ST-HEADER', '{"\xff":1}', four, /not UTF-8 JSON/],
  ['a header that is no object', 'E-ST-HEADER', '[]', four, /not a JSON object/],
  ['metadata that is not text', 'E-ST-HEADER', { __metadata__: { x: 1 } }, four, /__metadata__/],
  ['an unknown key', 'E-ST-HEADER', { a: { ...a, code: 1 } }, four, /unknown key code/],
  ['an entry that is no object', 'E-ST-DTYPE', { a: null }, four, /tensor "a"/],
  ['an unknown dtype', 'E-ST-DTYPE', { a: { ...a, dtype: 'F4' } }, four, /tensor "a".*"F4".*F32/],
  ['a dtype named after a built-in', 'E-ST-DTYPE', { a: { ...a, dtype: 'CONSTRUCTOR' } }, four, /tensor "a"/],
  ['a negative size', 'E-ST-SHAPE', { a: { ...a, shape: [-1] } }, four, /\[-1\]/],
  ['a fractional size', 'E-ST-SHAPE', { a: { ...a, shape: [0.5] } }, four, /0\.5/],
  ['a shape that overflows', 'E-ST-SHAPE', { a: { ...a, shape: [2 ** 40, 2 ** 40] } }, four, /2\^53/],
  [
    'offsets that do not fit the shape',
    'E-ST-OFFSETS',
    { a: { ...a, shape: [2] } },
    four,
    /4 bytes, expected 8/,
  ],
  ['offsets in the wrong order', 'E-ST-OFFSETS', { a: { ...a, data_offsets: [4, 0] } }, four, /-4 bytes/],
  ['three offsets', 'E-ST-OFFSETS', { a: { ...a, data_offsets: [0, 4, 8] } }, four, /two counts/],
  ['an overlap', 'E-ST-OFFSETS', { a, b: a }, four, /tensor "b".*overlaps/],
  ['a hole', 'E-ST-OFFSETS', { a: { ...a, data_offsets: [4, 8] } }, Buffer.alloc(8), /tensor "a".*hole/],
  ['bytes of no tensor', 'E-ST-TRAILING', { a }, Buffer.alloc(5), /1 bytes that belong to no tensor/],
  ['data cut off', 'E-ST-TRUNCATED', { a }, Buffer.alloc(3), /tensor "a".*at most 3/],
];
for (const [name, code, header, data, says, prefix] of refused)
  test(`refuses ${name}`, async ({ file }) => {
    const error = await failure(craft(file, header, data, prefix));
    assert.is(error.code, code, error.message);
    assert.match(error.message, says);
    assert.is(error.exitCode, 4);
  });

test('refuses a file of fewer than 8 bytes', async ({ file }) => {
  writeFileSync(file, 'short');
  assert.is((await failure(file)).code, 'E-ST-TRUNCATED');
});

test.run();
