import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openFakeNcclGroup } from './comm/testing/groups.js';
import type { Device } from './device.js';
import { copy } from './ops/pointwise/index.js';
import type { Graph, Stream } from './stream.js';
import { empty, fromArray, type Tensor } from './tensor.js';
import { failureOf, rejectionOf, withFakeGpu } from './testing/fake-gpu.js';

// Graphs in the middle of which their stream and others wait for each other.

const copyOn = ({ id, device }: Stream, source: Tensor, target: Tensor): void =>
  device.native.copy(id, source.id, target.id);

/** The given ops on `other`, after what compute has enqueued; compute goes on behind them. */
function aside({ compute }: Device, other: Stream, body: () => void): void {
  other.wait(compute.record());
  body();
  compute.wait(other.record());
}

test('each launch enqueues the work of other streams anew, and who waits for whom', () =>
  withFakeGpu({}, async (device) => {
    const other = device.createStream('other');
    const [source, between, target] = [1, 0, 0].map((value) => fromArray(device, [value], [1]));
    const graph = device.compute.capture(() =>
      device.scope(() => {
        const sent = empty(device, [1]);
        copy(source!, sent);
        aside(device, other, () => copyOn(other, sent, between!));
        copy(between!, target!);
      }),
    );
    assert.is((await target!.read())[0], 0);
    for (const value of [2, 3]) {
      source!.write(new Float32Array([value]));
      const open = other.closeGate();
      assert.ok(graph.launch());
      const read = target!.read();
      open();
      assert.is((await read)[0], value);
    }
    graph.release();
  }));

test('work recorded on another stream is in the order of its own stream too, whoever waits', () =>
  withFakeGpu({}, async (device) => {
    const [other, third] = [device.createStream('other'), device.createStream('third')];
    const [one, two, target] = [1, 2, 0].map((value) => fromArray(device, [value], [1]));
    const graph = device.compute.capture(() => {
      copyOn(other, one!, target!);
      third.wait(other.record());
      copyOn(third, two!, target!);
    });
    const open = other.closeGate();
    graph.launch();
    const read = target!.read();
    open();
    assert.is((await read)[0], 2, 'the stream of the graph comes after all of it');
  }));

test('memory goes round once its own stream waits for the other ones that use it', () =>
  withFakeGpu({}, (device) => {
    const other = device.createStream('other');
    const target = empty(device, [100_000]);
    const grownBy = (body: () => void) => {
      const before = device.memory().inUseBytes;
      body();
      return device.memory().inUseBytes - before;
    };
    const make = () => device.scope(() => copy(target, empty(device, [100_000])));
    device.compute.capture(() => {
      other.wait(device.compute.record());
      device.scope(() => copyOn(other, empty(device, [100_000]), target));
      assert.ok(grownBy(make) > 0, 'another stream may still read it');
      const done = other.record();
      device.compute.wait(done);
      assert.is(
        grownBy(() => device.scope(() => [empty(device, [100_000]), empty(device, [100_000])])),
        0,
      );
    });
  }));

test('what a launch uses on other streams is not taken for free before they have done it', () =>
  withFakeGpu({}, async (device) => {
    const other = device.createStream('other');
    const [source, target] = [fromArray(device, [7], [1]), fromArray(device, [0], [1])];
    const graph = device.compute.capture(() => copyOn(other, source, target));
    const open = other.closeGate();
    graph.launch();
    graph.release();
    source.release();
    const later = fromArray(device, [9], [1]);
    open();
    assert.is((await target.read())[0], 7);
    later.release();
  }));

test('an event of a recording is for that recording alone', () =>
  withFakeGpu({}, async (device) => {
    const other = device.createStream('other');
    const [x, y] = [fromArray(device, [1], [1]), fromArray(device, [0], [1])];
    let event = device.compute.record();
    const first = device.compute.capture(() => {
      copy(x, x);
      event = device.compute.record();
    });
    assert.match(failureOf(() => other.wait(event)).message, /E-CUDA-GRAPH.*an event of a graph, outside/);
    const second = device.compute.capture(() => {
      const refused = /E-CUDA-GRAPH.*an event of another graph/;
      assert.match(failureOf(() => other.wait(event)).message, refused, 'none of this one yet');
      copy(x, x);
      const own = device.compute.record();
      assert.match(failureOf(() => other.wait(event)).message, refused, 'this one has as many');
      other.wait(own);
      copyOn(other, x, y);
    });
    for (const graph of [first, second]) assert.ok(graph.launch());
    assert.is((await y.read(other))[0], 1);
  }));

test('an event from before a recording is waited for by each launch', () =>
  withFakeGpu({}, async (device) => {
    const other = device.createStream('other');
    const [one, source, target] = [1, 0, 0].map((value) => fromArray(device, [value], [1]));
    await device.compute.sync();
    const open = other.closeGate();
    copyOn(other, one!, source!);
    const event = other.record();
    const graph = device.compute.capture(() => {
      device.compute.wait(event);
      copy(source!, target!);
    });
    graph.launch();
    const read = target!.read();
    open();
    assert.is((await read)[0], 1);
    source!.write(Float32Array.of(2));
    graph.launch();
    assert.is((await target!.read())[0], 2, 'it is past, and nobody waits any more');
    graph.release();
  }));

test('what ranks send each other in the middle of a graph is sent by every launch, and counted', async () => {
  const group = await openFakeNcclGroup(2);
  const ranks = group.comms.map((comm) => {
    const { device } = comm.stream;
    const [own, theirs] = [fromArray(device, [0], [1]), fromArray(device, [0], [1])];
    const peer = 1 - comm.rank;
    const graph: Graph = device.compute.capture(() =>
      device.scope(() => {
        const [sent, received] = [empty(device, [1]), empty(device, [1], 'f32', comm.stream)];
        copy(own, sent);
        aside(device, comm.stream, () =>
          comm.exchange([{ tensor: sent, peer }], [{ tensor: received, peer }]),
        );
        copy(received, theirs);
      }),
    );
    return { comm, own, theirs, graph };
  });
  for (const round of [1, 2, 3]) {
    for (const { comm, own, graph } of ranks) {
      own.write(new Float32Array([10 * round + comm.rank]));
      graph.launch();
    }
    for (const { comm, theirs } of ranks) {
      assert.is((await theirs.read())[0], 10 * round + 1 - comm.rank);
      assert.is(comm.bytesSent(), 4 * round);
    }
  }
  await group.close();
});

test('a rank that waits in the middle of a graph is freed when its peer gives up', async () => {
  const group = await openFakeNcclGroup(2);
  const [first, second] = group.comms;
  const { device } = first!.stream;
  const target = fromArray(device, [0], [1]);
  const graph = device.compute.capture(() => aside(device, first!.stream, () => first!.recv(target, 1)));
  graph.launch();
  second!.abort('out of luck');
  const error = await rejectionOf(device.compute.sync());
  assert.match(error.message, /E-COMM-PEER.*rank 1 is gone .* in a receive of 4 bytes from rank 1/);
  await group.close();
});

test.run();
