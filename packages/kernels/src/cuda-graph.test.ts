import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openCpuDevice } from './device.js';
import { copy } from './ops/pointwise/index.js';
import { empty, fromArray } from './tensor.js';
import { failureOf, rejectionOf, withFakeGpu } from './testing/fake-gpu.js';

test('a graph runs when it is launched, as often as it is, on what its tensors then hold', () =>
  withFakeGpu({}, async (device) => {
    const [source, target] = [fromArray(device, [1], [1]), fromArray(device, [0], [1])];
    const graph = device.compute.capture(() => copy(source, target));
    assert.equal([...(await target.read())], [0]);
    for (const value of [2, 3]) {
      source.write(new Float32Array([value]));
      graph.launch();
      assert.equal([...(await target.read())], [value]);
    }
    graph.release();
  }));

test('nobody gets the memory of a graph before it is released', () =>
  withFakeGpu({}, async (device) => {
    const source = fromArray(device, new Float32Array(1000).fill(7), [1000]);
    const target = empty(device, [1000]);
    const graph = device.compute.capture(() => {
      device.scope(() => {
        const between = empty(device, [1000]);
        copy(source, between);
        copy(between, target);
      });
    });
    const { inUseBytes } = device.memory();
    const other = fromArray(device, new Float32Array(1000).fill(1), [1000]);
    graph.launch();
    assert.is((await other.read())[0], 1);
    assert.is((await target.read())[999], 7);
    other.release();
    assert.is(device.memory().inUseBytes, inUseBytes);
    graph.release();
    assert.ok(device.memory().inUseBytes < inUseBytes);
    const { reservedBytes } = device.memory();
    empty(device, [1000]).release();
    assert.is(device.memory().reservedBytes, reservedBytes);
  }));

test('what the host takes part in cannot be recorded', async () => {
  await withFakeGpu({}, async (device) => {
    const x = fromArray(device, [1], [1]);
    const graph = device.compute.capture(() => x.write(new Float32Array([2])));
    graph.release();
    assert.match(
      (await rejectionOf(x.read())).message,
      /E-CUDA-GRAPH.*"tensorWrite".*a copy from the host while a graph is recorded.*Fix/,
    );
  });
  await withFakeGpu({}, async (device) => {
    let read: Promise<unknown> | null = null;
    const x = fromArray(device, [1], [1]);
    device.compute.capture(() => {
      read = rejectionOf(x.read());
    });
    assert.match(((await read!) as Error).message, /E-CUDA-GRAPH/);
  });
});

test('a graph that the driver does not accept is a failure of its stream', () =>
  withFakeGpu({ fake: 'fail=cuStreamEndCapture' }, async (device) => {
    const x = empty(device, [4]);
    device.compute.capture(() => copy(x, x));
    assert.match((await rejectionOf(device.compute.sync())).message, /E-CUDA.*cuStreamEndCapture failed/);
  }));

test('a device may be closed with a graph that was not released', () =>
  withFakeGpu({}, (device) => {
    const x = empty(device, [4]);
    device.compute.capture(() => copy(x, x)).launch();
  }));

test('a CPU has no graphs', () => {
  const device = openCpuDevice();
  try {
    const error = failureOf(() => device.compute.capture(() => {}));
    assert.match(error.message, /E-CUDA-GRAPH.*a graph on a cpu device, expected a GPU/);
  } finally {
    device.close();
  }
});

test.run();
