import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Device, openCpuDevice, openCudaDevice } from './device.js';
import type { LongscanError } from './errors.js';
import { add } from './ops/add/index.js';
import { copy, fill } from './ops/pointwise/index.js';
import { type DType, empty, fromArray } from './tensor.js';
import { failureOf, fakeDriver, rejectionOf, withFakeGpu as withGpu } from './testing/fake-gpu.js';

// Without a GPU: what stands on CUDA's driver, over a driver whose GPU is a thread (cuda/testing/fake_driver.cc).

// The driver is opened once in a process, so what keeps it from opening comes first.

test('no driver: what was tried and what to do', () => {
  process.env.LONGSCAN_CUDA_DRIVER = '/nowhere/libcuda.so.1';
  const error = failureOf(() => openCudaDevice());
  assert.is(error.code, 'E-CUDA-DRIVER');
  assert.is(error.exitCode, 3);
  assert.match(
    error.message,
    /no CUDA driver\. Tried: \/nowhere\/libcuda\.so\.1.*Fix: .*device\.kind = "cpu"/,
  );
});

test('a library that is no driver', () => {
  process.env.LONGSCAN_CUDA_DRIVER = 'libm.so.6';
  assert.match(failureOf(() => openCudaDevice()).message, /E-CUDA-DRIVER.*has no cuInit/);
});

for (const [fake, expected] of [
  ['version=10020', /E-CUDA-DRIVER.*of CUDA 10\.2, expected 11\.4 or newer.*newer NVIDIA driver/],
  ['devices=none', /E-CUDA-DRIVER.*does not start.*no CUDA-capable device is detected/],
] as const) {
  test(`a driver that cannot be used: ${fake}`, () => {
    process.env.LONGSCAN_CUDA_DRIVER = fakeDriver;
    process.env.LONGSCAN_FAKE_CUDA = fake;
    assert.match(failureOf(() => openCudaDevice()).message, expected);
  });
}

test('a driver that does not start under CUDA_VISIBLE_DEVICES: what it is', () => {
  process.env.LONGSCAN_CUDA_DRIVER = fakeDriver;
  process.env.LONGSCAN_FAKE_CUDA = 'devices=none';
  process.env.CUDA_VISIBLE_DEVICES = '7,GPU-none';
  try {
    assert.match(
      failureOf(() => openCudaDevice()).message,
      /E-CUDA-DRIVER.*does not start \(status 100: .*\) under CUDA_VISIBLE_DEVICES = "7,GPU-none"\. Fix: unset it, or name GPUs/,
    );
  } finally {
    delete process.env.CUDA_VISIBLE_DEVICES;
  }
});

test('GPUs that are not there', () => {
  process.env.LONGSCAN_FAKE_CUDA = 'devices=0';
  assert.match(failureOf(() => openCudaDevice()).message, /E-CUDA-DEVICE.*sees no GPU.*CUDA_VISIBLE_DEVICES/);
  process.env.LONGSCAN_FAKE_CUDA = 'devices=2';
  assert.match(failureOf(() => openCudaDevice({ index: 2 })).message, /E-CUDA-DEVICE.*GPU 2 of 2/);
});

test('no kernels: a device is refused, or the first op if it was not asked for them', async () => {
  process.env.LONGSCAN_CUDA = '/nowhere/longscan_cuda.so';
  process.env.LONGSCAN_FAKE_CUDA = '';
  const pattern = /E-CUDA-LIBRARY.*Tried: \/nowhere\/longscan_cuda\.so.*scripts\/cuda\/build\.sh/;
  assert.match(failureOf(() => openCudaDevice()).message, pattern);
  await withGpu({}, (device) => {
    const x = empty(device, [4]);
    assert.match(failureOf(() => add({ a: x, b: x })).message, pattern);
  });
});

test('the GPU is described', () =>
  withGpu({ fake: 'bytes=5000000' }, (device) => {
    assert.equal(device.gpu(), {
      ...{ name: 'Fake GPU', capability: 90, numMultiprocessors: 132, sharedBytesOfBlock: 227 << 10 },
      ...{ totalBytes: 5_000_000, freeBytes: 5_000_000, driverVersion: 13_000 },
    });
  }));

test('values survive the way to the GPU and back, in every dtype, small and large', () =>
  withGpu({}, async (device) => {
    for (const dtype of ['f32', 'f64', 'bf16', 'i32'] as DType[]) {
      for (const size of [1, 3, 100_000]) {
        const values = Array.from({ length: size }, (_, i) => i % 1000);
        const tensor = fromArray(device, values, [size], dtype);
        assert.equal([...(await tensor.read())], values);
        assert.equal([...tensor.readBlocking()], values);
      }
    }
  }));

test('reads see what came before them and nothing after', () =>
  withGpu({}, async (device) => {
    const size = 10;
    const tensor = fromArray(device, new Float32Array(size).fill(1), [size]);
    const reads = [tensor.read()];
    for (let value = 2; value < 6; value++) {
      tensor.write(new Float32Array(size).fill(value));
      reads.push(tensor.read());
    }
    fill(tensor, 0);
    reads.push(tensor.read());
    const found = (await Promise.all(reads)).map((values) => values[size - 1]);
    assert.equal(found, [1, 2, 3, 4, 5, 0]);
  }));

test('fresh memory is NaN when it is asked for, and reused memory too', () =>
  withGpu({ poison: true }, async (device) => {
    const first = empty(device, [100]);
    assert.ok((await first.read()).every(Number.isNaN));
    first.write(new Float32Array(100));
    first.release();
    const second = empty(device, [100]);
    assert.ok((await second.read()).every(Number.isNaN));
    assert.is(device.memory().reservedBytes, device.memory().inUseBytes);
  }));

test('memory is reused at once on its stream, and only after their events where others used it', () =>
  withGpu({}, async (device) => {
    const second = device.createStream('second');
    const source = fromArray(device, new Float32Array(5000).fill(7), [5000]);
    const target = empty(device, [5000], 'f32', second);
    second.wait(device.compute.record());
    device.native.copy(second.id, source.id, target.id);
    source.release();
    const { reservedBytes } = device.memory();
    // The copy has not run yet: what is overwritten must not be what it reads.
    const other = fromArray(device, new Float32Array(5000).fill(9), [5000]);
    assert.ok(device.memory().reservedBytes > reservedBytes, 'a block that another stream uses was reused');
    assert.ok((await target.read(second)).every((value) => value === 7));
    other.release();
    await second.sync();
    const before = device.memory().reservedBytes;
    for (let i = 0; i < 20; i++) fromArray(device, new Float32Array(5000), [5000]).release();
    assert.is(device.memory().reservedBytes, before);
  }));

test('exact memory: blocks of the size asked for, none of which serves twice', async () => {
  const takes = (device: Device): number[] => {
    empty(device, [33]).release();
    empty(device, [33]);
    const { reservedBytes, inUseBytes } = device.memory();
    return [reservedBytes, inUseBytes];
  };
  const onCpu = (exactMemory?: boolean): number[] => {
    const device = openCpuDevice({ exactMemory });
    try {
      return takes(device);
    } finally {
      device.close();
    }
  };
  const [exact, rounded] = [
    [2 * 132, 132],
    [192, 192],
  ];
  assert.equal([onCpu(), onCpu(true)], [rounded, exact]);
  process.env.LONGSCAN_EXACT_MEMORY = '1';
  try {
    await withGpu({}, (device) => assert.equal(takes(device), exact));
    assert.equal([onCpu(), onCpu(false)], [exact, rounded]);
  } finally {
    delete process.env.LONGSCAN_EXACT_MEMORY;
  }
});

test('events order streams in both directions without holding up the host', () =>
  withGpu({}, async (device) => {
    const second = device.createStream('second');
    const x = fromArray(device, [0], [1]);
    const y = empty(device, [1], 'f32', second);
    const openGate = device.compute.closeGate();
    x.write(Float32Array.of(5));
    second.wait(device.compute.record());
    device.native.copy(second.id, x.id, y.id);
    device.compute.wait(second.record());
    fill(x, 0);
    assert.not(second.isIdle());
    openGate();
    assert.equal([(await y.read(second))[0], (await x.read())[0]], [5, 0]);
    await second.sync();
    assert.ok(second.isIdle());
  }));

test('what does not fit: asked, used, free, and the settings that would help', () =>
  withGpu({ fake: 'bytes=1000000' }, async (device) => {
    const held = empty(device, [100_000]);
    const error = failureOf(() => empty(device, [200_000]));
    assert.is(error.code, 'E-MEMORY');
    assert.is(error.exitCode, 3);
    const { inUseBytes } = device.memory();
    const parts = [
      'bytes asked for',
      `${inUseBytes} bytes in use`,
      `${1_000_000 - inUseBytes} bytes of 1000000 bytes free`,
    ];
    for (const part of [...parts, 'parallel.sp', 'model.recompute', 'data.batchSize'])
      assert.ok(error.message.includes(part), `${part} in ${error.message}`);
    // Memory kept for reuse is given up before that.
    held.release();
    empty(device, [200_000]);
    assert.is(device.memory().peakBytes, device.memory().inUseBytes);
  }));

test('what does not fit behind a closed gate is told at once, and what other streams are done with is taken back', () =>
  withGpu({ fake: 'bytes=100000' }, async (device) => {
    const other = device.createStream('other');
    empty(device, [12_000], 'f32', other).release();
    await other.sync();
    const openGate = device.compute.closeGate();
    try {
      // 96,000 bytes fit where the 48,000 are given back; those of the stream that is held are not waited for.
      empty(device, [22_000]).release();
      assert.is(failureOf(() => empty(device, [22_000], 'f32', other)).code, 'E-MEMORY');
    } finally {
      openGate();
    }
    empty(device, [22_000], 'f32', other);
  }));

test("a failure on the GPU is every later await's, and can be pinned to its op", () =>
  withGpu({ fake: 'fail=cuMemcpyDtoDAsync' }, async (device) => {
    const [a, b] = [fromArray(device, [1], [1]), fromArray(device, [2], [1])];
    copy(a, b);
    const first = await rejectionOf(b.read());
    assert.match(first.message, /E-CUDA.*stream "compute".*CUDA_ERROR_ILLEGAL_ADDRESS.*LONGSCAN_SYNC=1/);
    assert.is((await rejectionOf(device.compute.sync())).message, first.message);
    assert.is((await rejectionOf(device.createStream('late').sync())).message, first.message);
  }));

test('waiting after each op names the one that failed', () =>
  withGpu({ fake: 'fail=cuMemcpyDtoDAsync', waitsAfterEachOp: true }, async (device) => {
    const [a, b] = [fromArray(device, [1], [1]), fromArray(device, [2], [1])];
    copy(a, b);
    assert.match(
      (await rejectionOf(b.read())).message,
      /op "copy" #\d+ on stream "compute" f32\[1\] f32\[1\]/,
    );
  }));

test('an op without a CUDA kernel says so', () =>
  withGpu({}, (device) => {
    const x = empty(device, [2, 4097]);
    const call = () => device.native.softmaxForward(device.compute.id, x.id, x.id);
    assert.match(failureOf(call).message, /E-CUDA-KERNEL.*softmaxForward: no CUDA kernel for rows of 4097/);
  }));

test('tensors of a CPU and a GPU do not meet', () =>
  withGpu({}, (device) => {
    const cpu = openCpuDevice();
    try {
      const [here, there] = [empty(device, [2]), empty(cpu, [2])];
      assert.match(failureOf(() => copy(there, here)).message, /a tensor of another device/);
      assert.match(failureOf(() => copy(here, there)).message, /a tensor of another device/);
    } finally {
      cpu.close();
    }
  }));

test('a stopwatch takes the time between two points of a stream', () =>
  withGpu({}, async (device) => {
    const stop = device.compute.stopwatch();
    for (let i = 0; i < 3; i++) fromArray(device, [i], [1]).release();
    assert.ok((await stop()) >= 3, 'three copies of a millisecond each');
  }));

test('a profile has the time of each op between its ends, by name, and of all of it', () =>
  withGpu({}, async (device) => {
    const [a, b] = [empty(device, [4]), empty(device, [4])];
    copy(a, b);
    const end = device.compute.profile();
    for (let i = 0; i < 3; i++) copy(a, b);
    const loss = fromArray(device, [5], [1]);
    const [[value], { wholeMs, ops }] = await Promise.all([loss.readNumbers(), end()]);
    copy(a, b);
    assert.is(value, 5);
    assert.equal(Object.keys(ops).sort(), ['copy', 'tensorWrite']);
    assert.is(ops.copy!.count, 3);
    // Everything takes this GPU a millisecond at least, events too.
    assert.ok(ops.copy!.ms >= 3 && ops.tensorWrite!.ms >= 1, JSON.stringify(ops));
    assert.ok(wholeMs >= ops.copy!.ms + ops.tensorWrite!.ms, `${wholeMs}`);
    for (const tensor of [a, b, loss]) tensor.release();
  }));

test('a trace that has been read, and one of another stream', () =>
  withGpu({}, async (device) => {
    const { native, compute } = device;
    const trace = native.traceBegin(compute.id, true, 0);
    const other = device.createStream('other');
    assert.match(failureOf(() => void native.traceEnd(other.id, trace)).message, /no trace of this stream/);
    await native.traceEnd(compute.id, trace);
    assert.equal(native.traceResult(trace).ops, {});
    assert.match(failureOf(() => void native.traceResult(trace)).message, /read already/);
  }));

test('a device that is closed with work under way', async () => {
  let pending: Promise<LongscanError> | null = null;
  await withGpu({}, (device) => {
    device.compute.closeGate();
    pending = rejectionOf(device.compute.sync());
  });
  assert.is((await pending!)!.code, 'E-STREAM');
});

test.run();
