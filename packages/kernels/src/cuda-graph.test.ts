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

test('a graph may be recorded in pieces, between which the host does what no graph can hold', () =>
  withFakeGpu({}, async (device) => {
    const [source, between, target] = [1, 0, 0].map((value) => fromArray(device, [value], [1]));
    let value = 5;
    const graph = device.compute.capture(() => {
      copy(source!, between!);
      device.compute.between(() => source!.write(new Float32Array([value++])));
      copy(source!, target!);
    });
    assert.is(value, 5, 'it ran while the graph was recorded');
    for (const [first, second] of [
      [1, 5],
      [5, 6],
    ]) {
      assert.ok(graph.launch());
      assert.equal([(await between!.read())[0], (await target!.read())[0]], [first, second]);
    }
    graph.release();
    device.compute.between(() => value++);
    assert.is(value, 8, 'outside of a graph it runs at once');
  }));

test('work of a graph hands memory on among itself, but none that was there before', () =>
  withFakeGpu({}, async (device) => {
    const size = 100_000;
    const source = fromArray(device, new Float32Array(size).fill(7), [size]);
    const [target, zero] = [empty(device, [size]), fromArray(device, new Float32Array(size), [size])];
    const before = device.memory().inUseBytes;
    const graph = device.compute.capture(() => {
      copy(source, target);
      source.release();
      for (let i = 0; i < 10; i++) device.scope(() => copy(zero, empty(device, [size])));
    });
    assert.ok(device.memory().inUseBytes - before < 2 * source.bytes, 'one piece of memory serves all');
    for (let i = 0; i < 2; i++) {
      copy(zero, target);
      graph.launch();
      assert.is((await target.read())[size - 1], 7);
    }
    graph.release();
    assert.ok(device.memory().inUseBytes <= before - source.bytes);
  }));

test('when memory is short, that of graphs goes to those who want it', () =>
  withFakeGpu({ fake: 'bytes=1000000' }, async (device) => {
    const [one, large] = [fromArray(device, [1], [1]), [150_000]];
    const graph = device.compute.capture(() =>
      device.scope(() => copy(one, empty(device, large).view([1], 149_999))),
    );
    assert.ok(graph.launch());
    const wanted = empty(device, [180_000]);
    const last = wanted.view([1], 179_999);
    copy(one, last);
    assert.not(graph.launch());
    assert.is((await last.read())[0], 1);
    graph.release();
    assert.match(failureOf(() => empty(device, large)).message, /E-MEMORY/);
  }));

test('what does not fit while a graph is recorded is refused, and nothing of it has run', () =>
  withFakeGpu({ fake: 'bytes=1000000' }, async (device) => {
    const [one, target] = [fromArray(device, [1], [1]), fromArray(device, [0], [1])];
    const { inUseBytes } = device.memory();
    const error = failureOf(() =>
      device.compute.capture(() => {
        copy(one, target);
        device.scope(() => [empty(device, [150_000]), empty(device, [150_000])]);
      }),
    );
    assert.match(error.message, /E-MEMORY/);
    assert.is((await target.read())[0], 0);
    assert.is(device.memory().inUseBytes, inUseBytes);
  }));

test('one graph is recorded at a time', () =>
  withFakeGpu({}, (device) => {
    const other = device.createStream('other');
    device.compute.capture(() => {
      assert.match(
        failureOf(() => other.capture(() => {})).message,
        /a graph of this device is being recorded/,
      );
    });
  }));

test('what the host takes part in cannot be recorded', async () => {
  await withFakeGpu({}, async (device) => {
    const x = fromArray(device, [1], [1]);
    const error = failureOf(() => device.compute.capture(() => x.write(new Float32Array([2]))));
    assert.match(error.message, /E-CUDA-GRAPH.*a copy from the host, expected work that stays on the GPU/);
    assert.is((await x.read())[0], 1);
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
