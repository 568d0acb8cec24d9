import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { LongscanError } from './errors.js';
import { checkBatchedMatmulOnGpu } from './ops/batched-matmul/check-on-gpu.js';
import { checkBlockLinearOnGpu, checkMixedBlockGradient } from './ops/block-linear/check-on-gpu.js';
import { checkLinearOnGpu, checkMixedLinear } from './ops/linear/check-on-gpu.js';
import { gemmInfo, linear } from './ops/linear/index.js';
import { empty, fromArray } from './tensor.js';
import { failureOf, fakeCublasLt, withFakeGpu } from './testing/fake-gpu.js';
import { fromNumbers } from './testing/index.js';

// Without a GPU: matrix products of GPUs through the real binding, over a cuBLASLt that multiplies by the definition and is as
// strict about shapes and alignment (cuda/testing/fake_cublaslt.cc).

// cuBLASLt is opened once in a process, so what keeps it from opening comes first.

/** What a product is refused with. */
async function refusal(
  fake: string,
  variables: Readonly<Record<string, string>> = {},
): Promise<LongscanError> {
  const before = Object.keys(variables).map((name) => [name, process.env[name]] as const);
  Object.assign(process.env, variables);
  let error: LongscanError | undefined;
  await withFakeGpu({ kernels: true, fake }, (device) => {
    const x = empty(device, [4, 4]);
    error = failureOf(() => linear({ x, weight: x, bias: null }));
  });
  for (const [name, value] of before) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
  return error!;
}

test('no cuBLASLt: what was tried and what to do', async () => {
  const error = await refusal('', { LONGSCAN_CUBLAS: '/nowhere/libcublasLt.so.13' });
  assert.equal([error.code, error.exitCode], ['E-CUBLAS', 3]);
  assert.match(
    error.message,
    /cuBLASLt cannot be opened\. Tried: \/nowhere\/libcublasLt\.so\.13: .*Fix: install it \(pip install nvidia-cublas.*LONGSCAN_CUBLAS/,
  );
});

test('a library that is no cuBLASLt', async () => {
  const { message } = await refusal('', { LONGSCAN_CUBLAS: 'libm.so.6' });
  assert.match(message, /E-CUBLAS.*libm\.so\.6 has no cublasLtGetVersion\. Fix/);
});

test('a cuBLASLt that is too old: which it is and what is needed', async () => {
  const { message } = await refusal('cublas=110601');
  assert.match(message, /E-CUBLAS.*cublaslt\.so is cuBLASLt 11\.6\.1, expected 12\.0\.0 or newer\. Fix/);
});

/** Where the loader itself finds one, nobody looks further. */
const isInstalled = /libcublasLt/.test(spawnSync('ldconfig', ['-p'], { encoding: 'utf8' }).stdout ?? '');

(isInstalled ? test.skip : test)(
  'cuBLASLt of a Python environment: every place is told, and it is found',
  async () => {
    const environment = mkdtempSync(join(tmpdir(), 'longscan-python-'));
    const folder = join(environment, 'lib/python3.11/site-packages/nvidia/cu13/lib');
    const variables = { LONGSCAN_CUBLAS: '', VIRTUAL_ENV: environment, PATH: '/nowhere', HOME: '/nowhere' };
    const { message } = await refusal('', { ...variables, CUDA_HOME: '/nowhere/cuda' });
    for (const place of [
      'libcublasLt.so.13: cannot open',
      'libcublasLt.so.12: cannot open',
      `nothing in ${environment}/lib/python3*/*-packages/nvidia/*/lib`,
      'nothing in /nowhere/cuda/lib64',
      'nothing in /usr/local/cuda*/lib64',
    ]) {
      assert.ok(message.includes(place), `${place} in ${message}`);
    }
    mkdirSync(folder, { recursive: true });
    symlinkSync(fakeCublasLt, join(folder, 'libcublasLt.so.13'));
    Object.assign(process.env, variables);
    await withFakeGpu({ kernels: true }, (device) => {
      const { engine, version, path } = gemmInfo(device);
      assert.equal([engine, version, path], ['cublasLt', '13.1.0', join(folder, 'libcublasLt.so.13')]);
    });
    rmSync(environment, { recursive: true });
  },
);

test('a cuBLASLt that does not start: its version, the driver, and what it said', async () => {
  const { message } = await refusal('fail=cublasLtCreate');
  assert.match(
    message,
    /E-CUBLAS.*cuBLASLt 13\.1\.0 .*does not start on Fake GPU with a driver of CUDA 13\.0: CUBLAS_STATUS_NOT_INITIALIZED\. Fix/,
  );
});

test('a product that cuBLASLt does not know: which it is', async () => {
  const { message } = await refusal('fail=cublasLtMatmulAlgoGetHeuristic');
  assert.match(
    message,
    /E-CUBLAS.*no way to compute C\[4,4\] f32 = A Bᵀ over 4 f32, batch 1: CUBLAS_STATUS_NOT_SUPPORTED/,
  );
});

for (const shape of [
  { leading: [1], numIn: 1, numOut: 1 },
  { leading: [2, 3], numIn: 5, numOut: 7 },
  { leading: [17], numIn: 16, numOut: 24 },
]) {
  test(`linear ~> [${shape.leading}] ${shape.numIn} to ${shape.numOut}`, () =>
    withFakeGpu({ kernels: true, poison: true }, (device) => checkLinearOnGpu(device, shape)));
}

test('linear in bf16 with f32 bias and gradients, and gradients of x that are added', () =>
  withFakeGpu({ kernels: true, poison: true }, (device) => checkMixedLinear(device, [13, 8, 5])));

for (const sizes of [
  { batch: [1], M: 1, N: 1, K: 1 },
  { batch: [2, 3], M: 5, N: 7, K: 1 },
  { batch: [3], M: 8, N: 16, K: 8 },
]) {
  test(`batched-matmul ~> [${sizes.batch}] of ${sizes.M}x${sizes.K}x${sizes.N}`, () =>
    withFakeGpu({ kernels: true, poison: true }, (device) => checkBatchedMatmulOnGpu(device, sizes)));
}

for (const sizes of [
  { rows: [1], G: 1, size: 1, out: 1 },
  { rows: [2, 3], G: 5, size: 4, out: 8 },
  { rows: [9], G: 3, size: 7, out: 2 },
]) {
  test(`block-linear ~> [${sizes.rows}], ${sizes.G} blocks of ${sizes.size} to ${sizes.out}`, () =>
    withFakeGpu({ kernels: true, poison: true }, (device) => checkBlockLinearOnGpu(device, sizes)));
}

test("block-linear ~> a weight's gradient of f32 beside bf16", () =>
  withFakeGpu({ kernels: true, poison: true }, (device) => checkMixedBlockGradient(device, 3)));

test('a matrix that begins elsewhere than the one before', () =>
  withFakeGpu({ kernels: true, poison: true }, async (device) => {
    const values = Array.from({ length: 40 }, (_, i) => i);
    const all = fromArray(device, values, [40]);
    const weight = fromArray(device, [1, 0, 0, 0, 0, 0, 0, 1], [2, 4]);
    for (const offset of [0, 1, 4, 2, 3]) {
      const y = linear({ x: all.view([8, 4], offset), weight, bias: null });
      const expected = Array.from({ length: 8 }, (_, row) => [offset + 4 * row, offset + 4 * row + 3]).flat();
      assert.equal([...(await y.read())], expected);
    }
  }));

// [what cuBLASLt offers as tile:splits:waves, terms of a sum, the tile that runs]
for (const [offers, terms, tile] of [
  ['24:1:15.5,32:1:20.7,29:1:24.9', 8, 29],
  ['209:1:38.9,24:1:42.7,201:1:62.1,29:1:68.3', 8, 201],
  // A large tile that fills its waves is kept for long sums; for short ones, and where a wave is partly empty, it is not.
  ['24:1:3.88,20:1:7.76', 4096, 24],
  ['24:1:3.88,20:1:7.76', 8, 20],
  ['24:1:2.67,20:1:5.33', 4096, 24],
  ['24:1:2.60,20:1:5.20', 4096, 20],
  ['24:1:2.67,20:1:5.33', 8, 20],
  ['23:2:0.48,20:1:0.97', 4096, 20],
  // Few middle tiles, split sums, and tiles larger than the first are left alone.
  ['24:1:3.88,29:1:6.3', 8, 24],
  ['24:1:15.5,29:2:24.9', 8, 24],
  ['15:1:30,20:1:8,29:1:20', 8, 15],
] as const) {
  test(`of ${offers} tile ${tile} is taken for sums of ${terms}`, async () => {
    await withFakeGpu({ kernels: true, fake: `offers=${offers} runs=${tile}` }, async (device) => {
      const x = fromNumbers(device, new Float64Array(terms).fill(1), [1, terms], 'bf16');
      assert.equal([...(await linear({ x, weight: x, bias: null }).readNumbers())], [terms]);
    });
  });
}

test('no rows, and sums of nothing', () =>
  withFakeGpu({ kernels: true, poison: true }, async (device) => {
    const { native, compute } = device;
    const [x, dy] = [empty(device, [0, 3]), empty(device, [0, 2])];
    const weight = fromArray(device, [1, 2, 3, 4, 5, 6], [2, 3]);
    assert.is((await linear({ x, weight, bias: null }).read()).length, 0);
    native.linearWeightGradient(compute.id, dy.id, x.id, weight.id, true);
    assert.equal([...(await weight.read())], [1, 2, 3, 4, 5, 6]);
    native.linearWeightGradient(compute.id, dy.id, x.id, weight.id, false);
    assert.equal([...(await weight.read())], [0, 0, 0, 0, 0, 0]);
  }));

test('a product in a graph reads what is there when it is launched', () =>
  withFakeGpu({ kernels: true }, async (device) => {
    const x = fromArray(device, [1, 2], [1, 2]);
    const weight = fromArray(device, [3, 4], [1, 2]);
    const y = empty(device, [1, 1]);
    const graph = device.compute.capture(() =>
      device.native.linearForward(device.compute.id, x.id, weight.id, null, y.id),
    );
    for (const [a, b] of [
      [1, 2],
      [5, -6],
    ] as const) {
      x.write(Float32Array.of(a, b));
      graph.launch();
      assert.equal([...(await y.read())], [3 * a + 4 * b]);
    }
    graph.release();
  }));

test("streams have their workspaces, which are the device's memory and are kept", () =>
  withFakeGpu({ kernels: true, fake: 'bytes=200000000' }, async (device) => {
    const product = () => {
      const x = fromArray(device, [1, 2], [1, 2]);
      device.scope(() => void linear({ x, weight: x, bias: null }));
      x.release();
    };
    product();
    const { inUseBytes } = device.memory();
    assert.ok(inUseBytes >= 2 ** 25, `${inUseBytes} bytes`);
    for (let i = 0; i < 3; i++) product();
    assert.is(device.memory().inUseBytes, inUseBytes);
  }));

test('types that do not go together', () =>
  withFakeGpu({ kernels: true }, (device) => {
    const tensor = (dtype: 'f32' | 'f64' | 'bf16') => empty(device, [2, 2], dtype);
    const product = (x: 'f32' | 'f64' | 'bf16', weight: 'f32' | 'f64' | 'bf16') =>
      failureOf(() => linear({ x: tensor(x), weight: tensor(weight), bias: null })).message;
    assert.match(
      product('f64', 'f64'),
      /E-CUDA-KERNEL.*linearForward: no CUDA kernel for f64, only f32 and bf16/,
    );
    assert.match(product('f32', 'bf16'), /E-ARGUMENT.*a product of f32 and bf16 in f32/);
  }));

test.run();
