import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openCpuDevice } from './device.js';
import { LongscanError } from './errors.js';
import { axpy } from './ops/add/index.js';
import { embedding } from './ops/embedding/index.js';
import { fill } from './ops/pointwise/index.js';
import type { Stream } from './stream.js';
import { fromArray, zeros } from './tensor.js';

async function failureOf(promise: Promise<unknown>): Promise<LongscanError> {
  try {
    await promise;
  } catch (error) {
    assert.instance(error, LongscanError);
    return error as LongscanError;
  }
  throw new Error('nothing was thrown');
}

/** Lets other streams run for a while: each round is a whole trip through an unrelated stream. */
async function roundTrips(stream: Stream): Promise<void> {
  for (let i = 0; i < 50; i++) await stream.sync();
}

test('an event orders a second stream after the first', async () => {
  const device = openCpuDevice();
  try {
    const second = device.createStream('second');
    const source = fromArray(device, [0, 0], [2]);
    const target = fromArray(device, [0, 0], [2]);
    await device.compute.sync();
    const openGate = device.compute.closeGate();
    fill(source, 5);
    second.wait(device.compute.record());
    device.native.copy(second.id, source.id, target.id);
    await roundTrips(device.createStream('other'));
    assert.not(second.isIdle(), 'the second stream did not wait for the event');
    openGate();
    assert.equal([...(await target.read(second))], [5, 5]);
  } finally {
    device.close();
  }
});

test('an event that has passed holds nothing up', async () => {
  const device = openCpuDevice();
  try {
    const second = device.createStream('second');
    fill(fromArray(device, [0], [1]), 1);
    const event = device.compute.record();
    await device.compute.sync();
    const openGate = device.compute.closeGate();
    second.wait(event);
    await second.sync();
    openGate();
  } finally {
    device.close();
  }
});

test('while a gate holds the compute stream, enqueues return and another stream works', async () => {
  const device = openCpuDevice();
  try {
    const second = device.createStream('second');
    const openGate = device.compute.closeGate();
    const held = fromArray(device, [1, 2, 3], [3]);
    fill(held, 9);
    let heldWasRead = false;
    const read = held.read().then((values) => {
      heldWasRead = true;
      return values;
    });
    const free = fromArray(device, [0], [1]);
    free.write(Float32Array.of(4), second);
    assert.equal([...(await free.read(second))], [4]);
    await roundTrips(second);
    assert.not(heldWasRead);
    assert.not(device.compute.isIdle());
    openGate();
    assert.equal([...(await read)], [9, 9, 9]);
    assert.ok(device.compute.isIdle());
  } finally {
    device.close();
  }
});

test('the first failure is what every later await reports, on every stream, and later work is skipped', async () => {
  const device = openCpuDevice();
  const table = fromArray(device, [1, 2, 3], [3, 1]);
  const tokensOf = (id: number) => fromArray(device, [id], [1], 'i32');
  const second = device.createStream('second');
  await device.compute.sync();
  const openGate = device.compute.closeGate();
  embedding({ tokens: tokensOf(77), table });
  embedding({ tokens: tokensOf(88), table });
  second.wait(device.compute.record());
  const pending = [device.compute.sync(), table.read(), second.sync(), table.read(second)];
  // All are awaited at once: they may reject in any order.
  const failures = Promise.all(pending.map(failureOf));
  openGate();
  const [first, ...others] = (await failures) as [LongscanError, ...LongscanError[]];
  assert.is(first.code, 'E-DATA-VOCAB');
  for (const part of ['embeddingForward', '"compute"', 'i32[1] f32[3,1]', 'token id 77']) {
    assert.ok(first.message.includes(part), `${part} in ${first.message}`);
  }
  for (const other of others) assert.is(other.message, first.message);
  // What is enqueued after the failure, and what is created after it, reports it too.
  embedding({ tokens: tokensOf(99), table });
  assert.is((await failureOf(device.compute.sync())).message, first.message);
  assert.is((await failureOf(device.createStream('late').sync())).message, first.message);
  // Skipped, and not run: a gate would hold the stream.
  const openLateGate = device.compute.closeGate();
  let held = false;
  const deadline = setTimeout(() => {
    held = true;
    openLateGate();
  }, 60_000);
  assert.is((await failureOf(device.compute.sync())).message, first.message);
  assert.not(held, 'work after the failure was run');
  clearTimeout(deadline);
  device.close();
});

test('one device failing leaves another alone', async () => {
  const broken = openCpuDevice();
  const healthy = openCpuDevice();
  try {
    embedding({ tokens: fromArray(broken, [5], [1], 'i32'), table: fromArray(broken, [1], [1, 1]) });
    await failureOf(broken.compute.sync());
    assert.equal([...(await fromArray(healthy, [3], [1]).read())], [3]);
  } finally {
    broken.close();
    healthy.close();
  }
});

test('closing a device ends what is held, and its awaits reject', async () => {
  const device = openCpuDevice();
  device.compute.closeGate();
  const pending = failureOf(device.compute.sync());
  device.close();
  assert.is((await pending).code, 'E-STREAM');
});

for (const fixedPartition of [false, true]) {
  const partition = fixedPartition ? 'a fixed partition' : 'one part per thread';
  test(`streams that want the threads at the same time, ${partition}`, async () => {
    const device = openCpuDevice({ threads: 3, fixedPartition });
    try {
      // Large enough to be cut.
      const size = 100_003;
      const streams = [device.compute, device.createStream('second')];
      const one = fromArray(device, new Float32Array(size).fill(1), [size]);
      const sums = streams.map(() => fromArray(device, new Float32Array(size), [size]));
      await device.compute.sync();
      const rounds = 100;
      for (let round = 0; round < rounds; round++) {
        streams.forEach((stream, i) => {
          device.native.axpy(stream.id, 1, one.id, sums[i]!.id);
        });
      }
      for (const [i, sum] of sums.entries()) {
        assert.ok((await sum.read(streams[i])).every((value) => value === rounds));
      }
    } finally {
      device.close();
    }
  });
}

test('a profile counts the ops between its ends, and a second one begins anew', async () => {
  const device = openCpuDevice();
  const x = zeros(device, [1000]);
  for (const count of [2, 3]) {
    const end = device.compute.profile();
    for (let i = 0; i < count; i++) axpy(1, x, x);
    const { wholeMs, ops } = await end();
    axpy(1, x, x);
    assert.equal(Object.keys(ops), ['axpy']);
    assert.is(ops.axpy!.count, count);
    assert.ok(ops.axpy!.ms > 0 && ops.axpy!.ms <= wholeMs);
  }
  device.close();
});

test.run();
