import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openFakeNcclGroup } from './comm/testing/groups.js';
import { openCudaDevice } from './device.js';
import { copy, fill } from './ops/pointwise/index.js';
import type { Stream } from './stream.js';
import { empty, fromArray, type Tensor } from './tensor.js';
import { failureOf, rejectionOf, withFakeGpu } from './testing/fake-gpu.js';

// What no graph can hold, and wrong use of graphs: refused at the call, and all goes on.

/** What is thrown or rejected. */
const refusalOf = (body: () => unknown): Promise<Error> => rejectionOf((async () => body())());

/** Records a graph on the compute stream during which `body` is run; what it gives is for after. */
async function whileRecording(stream: Stream, body: () => Promise<Error>): Promise<Error> {
  const { device } = stream;
  const [source, target] = [fromArray(device, [7], [1]), fromArray(device, [0], [1])];
  const refusals: Promise<Error>[] = [];
  const graph = device.compute.capture(() => {
    copy(source, target);
    refusals.push(body());
  });
  const error = await refusals[0]!;
  assert.ok(graph.launch());
  assert.is((await target.read())[0], 7, 'the graph is as it would be without');
  graph.release();
  return error;
}

for (const name of ['compute', 'other']) {
  const onStream = (body: (stream: Stream) => unknown) => () =>
    withFakeGpu({}, (device) => body(name === 'compute' ? device.compute : device.createStream(name)));

  test(
    `while a graph is recorded, the host reads and writes nothing on stream ${name}`,
    onStream(async (stream) => {
      const x = fromArray(stream.device, [1], [1]);
      const { native } = stream.device;
      const calls: [RegExp, () => unknown][] = [
        [
          /tensorWrite: a copy from the host, expected work that stays/,
          () => x.write(Float32Array.of(2), stream),
        ],
        [/tensorRead: a copy to the host/, () => x.read(stream)],
        [/tensorReadBlocking: a copy to the host/, () => native.tensorReadBlocking(stream.id, x.id)],
        [/streamSync: a wait of the host/, () => stream.sync()],
        [/gateClose: a gate/, () => stream.closeGate()],
      ];
      for (const [expected, call] of calls) {
        const { message } = await whileRecording(stream, () => refusalOf(call));
        assert.match(message, /E-CUDA-GRAPH/);
        assert.match(message, expected);
      }
      assert.is((await x.read(stream))[0], 1);
    }),
  );

  test(
    `while a graph is recorded, nobody takes times on stream ${name}, and who was taking them goes on`,
    onStream(async (stream) => {
      const begins: [RegExp, () => unknown][] = [
        [/stopwatchStart: taking a time/, () => stream.stopwatch()],
        [/traceBegin: the begin of a trace/, () => stream.trace()],
      ];
      for (const [expected, call] of begins) {
        assert.match((await whileRecording(stream, () => refusalOf(call))).message, expected);
      }
      const stop = stream.stopwatch();
      assert.match(
        (await whileRecording(stream, () => rejectionOf(stop()))).message,
        /stopwatchStop: taking a time/,
      );
      assert.ok((await stop()) > 0);
      const end = stream.trace({ maxSpans: 8 });
      assert.match(
        (await whileRecording(stream, () => refusalOf(() => stream.mark('here')))).message,
        /traceMark/,
      );
      assert.match(
        (await whileRecording(stream, () => rejectionOf(end()))).message,
        /traceEnd: the end of a trace/,
      );
      stream.mark('there');
      assert.equal(
        (await end()).marks.map(({ name }) => name),
        ['there'],
      );
    }),
  );
}

test('while a graph is recorded, none is launched or released and the device stays open', () =>
  withFakeGpu({}, async (device) => {
    const [source, target] = [fromArray(device, [3], [1]), fromArray(device, [0], [1])];
    const before = device.compute.capture(() => copy(source, target));
    for (const [expected, call] of [
      [/E-CUDA-GRAPH.*graphLaunch: a launch of a graph/, () => before.launch()],
      [/E-CUDA-GRAPH.*graphRelease: the release of a graph/, () => before.release()],
      [/E-CUDA-GRAPH.*contextClose: closing the device/, () => device.close()],
    ] as const) {
      assert.match((await whileRecording(device.compute, () => refusalOf(call))).message, expected);
    }
    assert.is((await target.read())[0], 0);
    assert.ok(before.launch());
    assert.is((await target.read())[0], 3);
    before.release();
  }));

test('a recording is over when its body returns, which so may not be asynchronous', () =>
  withFakeGpu({}, async (device) => {
    const x = fromArray(device, [1], [1]);
    const error = failureOf(() => device.compute.capture(async () => copy(x, x)));
    assert.instance(error, TypeError);
    assert.match(error.message, /a recording cannot be asynchronous/);
    assert.is((await x.read())[0], 1);
  }));

test('what comes between sections comes there, whichever stream is asked', () =>
  withFakeGpu({}, async (device) => {
    const other = device.createStream('other');
    const [source, target] = [fromArray(device, [1], [1]), fromArray(device, [0], [1])];
    let value = 5;
    const graph = device.compute.capture(() => {
      other.between(() => source.write(Float32Array.of(value++)));
      copy(source, target);
    });
    assert.is(value, 5, 'it ran while the graph was recorded');
    for (const expected of [5, 6]) {
      graph.launch();
      assert.is((await target.read())[0], expected);
    }
  }));

test('an event of another device cannot be waited for in a recording', () =>
  withFakeGpu({}, async (device) => {
    const elsewhere = openCudaDevice({ kernels: false });
    try {
      const open = elsewhere.compute.closeGate();
      const event = elsewhere.compute.record();
      const error = await whileRecording(device.compute, () => refusalOf(() => device.compute.wait(event)));
      assert.match(error.message, /E-CUDA-GRAPH.*an event of another device/);
      open();
    } finally {
      elsewhere.close();
    }
  }));

test('an event that was never recorded is refused, instead of waited for', () =>
  withFakeGpu({}, (device) => {
    const other = device.createStream('other');
    for (const ticket of [1000, -1]) {
      const error = failureOf(() => other.wait({ stream: device.compute, ticket }));
      assert.match(error.message, /never recorded|an event of a graph/);
    }
  }));

test('sections of a graph are launched in their order, and there are no others', () =>
  withFakeGpu({}, ({ compute, native }) => {
    const graph = native.graphBegin(compute.id);
    const refuses = (call: () => unknown, expected: RegExp) =>
      assert.match(failureOf(call).message, new RegExp(`E-ARGUMENT.*${expected.source}`));
    for (const call of [
      () => native.graphIsWhole(compute.id, graph),
      () => native.graphLaunch(compute.id, graph, 0),
      () => native.graphRelease(compute.id, graph),
    ]) {
      refuses(call, /the graph is still being recorded/);
    }
    native.graphSplit(compute.id, graph);
    native.graphEnd(compute.id, graph);
    for (const call of [
      () => native.graphSplit(compute.id, graph),
      () => native.graphEnd(compute.id, graph),
    ]) {
      refuses(call, /the graph is not being recorded/);
    }
    for (const section of [1, 2, -1]) {
      refuses(() => native.graphLaunch(compute.id, graph, section), /the next section is 0/);
    }
    for (const section of [0, 0, 1]) native.graphLaunch(compute.id, graph, section);
    refuses(() => native.graphLaunch(compute.id, graph, 1), /the next section is 0/);
  }));

test('a graph is not launched once a tensor that it works on went to others', () =>
  withFakeGpu({ fake: 'bytes=1000000' }, async (device) => {
    const size = 50_000;
    for (const madeInside of [false, true]) {
      const [source, other] = [1, 2].map((value) =>
        fromArray(device, new Float32Array(size).fill(value), [size]),
      );
      let target = madeInside ? null : empty(device, [size]);
      const graph = device.compute.capture(() => {
        target ??= empty(device, [size]);
        copy(source!, target);
      });
      assert.ok(graph.launch());
      target!.release();
      const expected = /E-CUDA-GRAPH.*works on a tensor which was released/;
      assert.match(failureOf(() => graph.launch()).message, expected);
      const later = empty(device, [size]);
      copy(other!, later);
      assert.match(failureOf(() => graph.launch()).message, expected);
      assert.is((await later.read())[0], 2);
      graph.release();
      // And its memory may be gone.
      for (const tensor of [source!, other!, later]) tensor.release();
      empty(device, [240_000]).release();
    }
  }));

test('graphs that share a tensor go on when others are released, and neither is launched once it is', () =>
  withFakeGpu({}, async (device) => {
    const [source, target, unrelated] = [1, 2, 3].map((value) => fromArray(device, [value], [1]));
    const graphs = [1, 2].map(() => device.compute.capture(() => copy(source!, target!)));
    const launchAll = () => graphs.every((graph) => graph.launch());
    assert.ok(launchAll() && launchAll());
    unrelated!.release();
    assert.ok(launchAll());
    source!.release();
    // Its block is somebody's again, and still not the graphs'.
    const later = empty(device, [1]);
    const expected = /E-CUDA-GRAPH.*works on a tensor which was released/;
    for (const graph of [...graphs, ...graphs]) {
      assert.match(failureOf(() => graph.launch()).message, expected);
    }
    later.release();
    for (const graph of graphs) graph.release();
  }));

test("memory of a graph is nobody else's between the sections of a launch", () =>
  withFakeGpu({ fake: 'bytes=1000000' }, async (device) => {
    const [one, large] = [fromArray(device, [1], [1]), [150_000]];
    let numWanted = 180_000;
    const graph = device.compute.capture(() => {
      device.scope(() => copy(one, empty(device, large).view([1], 149_999)));
      device.compute.between(() => empty(device, [numWanted]).release());
      copy(one, one);
    });
    assert.match(failureOf(() => graph.launch()).message, /E-MEMORY/);
    numWanted = 1;
    assert.ok(graph.launch(), 'it has its memory still');
    empty(device, [180_000]).release();
    assert.not(graph.launch(), 'after the launch others may have it');
    await device.compute.sync();
  }));

test('a failure in the middle of a recording ends it: the stream comes to rest', () =>
  withFakeGpu({ fake: 'uncapturable=cuMemcpyDtoDAsync' }, async (device) => {
    const x = empty(device, [4]);
    device.compute.capture(() => {
      copy(x, x);
      device.compute.between(() => undefined);
      copy(x, x);
    });
    const deadline = performance.now() + 60_000;
    while (!device.compute.isIdle()) {
      assert.ok(performance.now() < deadline, 'it never does');
      await new Promise(setImmediate);
    }
    assert.match((await rejectionOf(device.compute.sync())).message, /E-CUDA.*cuMemcpyDtoDAsync failed/);
  }));

test('memory that is wanted while a stream still records is waited for', () =>
  withFakeGpu({ fake: 'bytes=1000000 slow=cuMemsetD8Async' }, async (device) => {
    const other = device.createStream('other');
    const target = empty(device, [100_000]);
    const source = empty(device, [100_000], 'f32', other);
    const open = device.compute.closeGate();
    copy(source, target);
    source.release();
    device.compute.capture(() => {
      copy(target, target);
      fill(target, 0);
    });
    open();
    const deadline = performance.now() + 60_000;
    while ((device.compute.opTimes().copy?.count ?? 0) < 2) assert.ok(performance.now() < deadline);
    empty(device, [120_000]);
    await device.compute.sync();
  }));

test('a communicator is neither closed nor used by the graph of its own stream', async () => {
  const group = await openFakeNcclGroup(2);
  const sums: Tensor[] = [];
  for (const comm of group.comms) {
    const { stream } = comm;
    const x = fromArray(stream.device, [1], [1]);
    sums.push(x);
    await stream.device.compute.sync();
    assert.match(
      failureOf(() => stream.capture(() => comm.allReduce(x))).message,
      /E-CUDA-GRAPH.*commAllReduce: a collective in a graph of the communicator's own stream/,
    );
    const error = await whileRecording(stream, () => refusalOf(() => comm.close()));
    assert.match(error.message, /E-CUDA-GRAPH.*commClose: closing a communicator/);
    comm.allReduce(x);
  }
  for (const [rank, { stream }] of group.comms.entries()) assert.is((await sums[rank]!.read(stream))[0], 2);
  await group.close();
});

test.run();
