import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createInProcessGroup } from './comm/in-process.js';
import { type Device, openCpuDevice } from './device.js';
import { axpy } from './ops/add/index.js';
import { copy } from './ops/pointwise/index.js';
import type { StreamTrace } from './stream-trace.js';
import { fromArray, zeros } from './tensor.js';
import { withFakeGpu } from './testing/fake-gpu.js';

const maxSpans = 1000;
const nowUs = (): number => Number(process.hrtime.bigint()) / 1000;

/** Runs `body` on the CPU, then over a driver whose GPU is a thread: a trace is the same thing on both. */
function onBoth(name: string, body: (device: Device) => Promise<void>): void {
  test(`cpu ~> ${name}`, async () => {
    const device = openCpuDevice();
    try {
      await body(device);
    } finally {
      device.close();
    }
  });
  test(`gpu ~> ${name}`, () => withFakeGpu({}, body));
}

/** Nothing but copies works on a GPU that is a thread. */
const vectors = (device: Device) => [fromArray(device, [1, 2], [2]), fromArray(device, [0, 0], [2])] as const;

/** What must hold of any trace. */
function checkTrace({ spans, marks, lengthUs }: StreamTrace): void {
  let last = 0;
  for (const { op, beginUs, endUs } of spans) {
    assert.ok(
      beginUs >= last && endUs >= beginUs,
      `${op} from ${beginUs} to ${endUs}, the one before to ${last}`,
    );
    last = endUs;
  }
  assert.ok(last <= lengthUs, `${last} of ${lengthUs}`);
  for (const { us } of marks) assert.ok(us >= 0 && us <= lengthUs);
}

onBoth('ops between its ends, in order, with marks, on the clock of the host', async (device) => {
  const [x, y] = vectors(device);
  await device.compute.sync();
  const before = nowUs();
  const end = device.compute.trace({ maxSpans });
  device.compute.mark('first');
  copy(x, y);
  device.compute.mark('second');
  copy(x, y);
  const trace = await end();
  device.compute.mark('late');
  copy(x, y);
  await device.compute.sync();
  checkTrace(trace);
  assert.equal(
    trace.spans.map(({ op }) => op),
    ['copy', 'copy'],
  );
  assert.equal(
    trace.marks.map(({ name }) => name),
    ['first', 'second'],
  );
  const [first, second] = trace.spans;
  assert.ok(trace.marks[0]!.us <= first!.beginUs && first!.endUs <= trace.marks[1]!.us);
  assert.ok(trace.marks[1]!.us <= second!.beginUs);
  assert.ok(first!.ticket < second!.ticket);
  // A GPU's clock is set against the host's to within half of what asking it takes, which this test does not know.
  const isExact = device.kind === 'cpu';
  if (isExact) assert.ok(trace.beginUs >= before && trace.beginUs + trace.lengthUs <= nowUs());
  assert.is(trace.numDropped, 0);
  assert.is(trace.ops.copy!.count, 2);
  // Two calls, each of two numbers and two places for them.
  assert.is(trace.ops.copy!.bytes, 2 * (x.bytes + y.bytes));
});

onBoth('a wait ends after what it waits for, and is as long as it says', async (device) => {
  const [sp, other] = [device.createStream('sp', { urgent: true }), device.createStream('other')];
  const [x, y] = vectors(device);
  sp.wait(device.compute.record());
  await sp.sync();
  const end = device.compute.trace({ ops: false, maxSpans });
  const endSp = sp.trace({ maxSpans });
  const openGate = sp.closeGate();
  device.native.copy(sp.id, x.id, y.id);
  const event = sp.record();
  device.compute.wait(event);
  const openOther = other.closeGate();
  device.compute.wait(other.record());
  const traces = Promise.all([end(), endSp()]);
  await new Promise((done) => setTimeout(done, 20));
  const openedAt = nowUs();
  openGate();
  openOther();
  const [compute, communication] = await traces;
  checkTrace(compute);
  checkTrace(communication);
  const [wait, ...more] = compute.spans;
  assert.equal(more, [], 'without ops only waits for communication');
  assert.is(wait!.op, 'streamWait');
  assert.equal(wait!.waitsFor, { stream: sp.id, ticket: event.ticket });
  assert.equal(Object.keys(compute.waitsMs), [`${sp.id}`]);
  assert.ok(Math.abs(1000 * compute.waitsMs[sp.id]! - (wait!.endUs - wait!.beginUs)) < 1e-3);
  // The newest op up to the ticket is what was waited for. A GPU's times are floats, hence the microsecond.
  const awaited = communication.spans.filter(({ ticket }) => ticket <= event.ticket).at(-1)!;
  assert.is(awaited.op, 'copy');
  const endOfWait = compute.beginUs + wait!.endUs;
  assert.ok(endOfWait >= communication.beginUs + awaited.endUs - 1);
  if (device.kind === 'cpu') assert.ok(endOfWait >= openedAt, 'it ended before the gate was opened');
});

onBoth('with ops, waits for any stream are told apart', async (device) => {
  const [sp, other] = [device.createStream('sp', { urgent: true }), device.createStream('other')];
  const gates = [sp, other].map((stream) => stream.closeGate());
  const end = device.compute.trace({ maxSpans });
  device.compute.wait(sp.record());
  device.compute.wait(other.record());
  const trace = end();
  for (const openGate of gates) openGate();
  const { spans, waitsMs, ops } = await trace;
  assert.equal(
    spans.map(({ waitsFor }) => waitsFor?.stream),
    [sp.id, other.id],
  );
  assert.equal(Object.keys(waitsMs).map(Number), [sp.id, other.id]);
  assert.is(ops.streamWait!.count, 2);
});

onBoth(
  'more than there is room for ~> the first are kept, the rest counted, sums are of all',
  async (device) => {
    const [x, y] = vectors(device);
    // More than a GPU has launches under way, so that times are read before the end too.
    const count = 600;
    const end = device.compute.trace({ maxSpans: 10 });
    for (let i = 0; i < 12; i++) device.compute.mark(`${i}`);
    for (let i = 0; i < count; i++) copy(x, y);
    const trace = await end();
    checkTrace(trace);
    assert.is(trace.spans.length, 10);
    assert.is(trace.marks.length, 10);
    assert.is(trace.numDropped, count - 10 + 2);
    assert.is(trace.ops.copy!.count, count);
  },
);

onBoth('one after the other on a stream, and none', async (device) => {
  const [x, y] = vectors(device);
  for (let i = 0; i < 3; i++) {
    device.compute.mark('nobody listens');
    const end = device.compute.trace({ maxSpans });
    copy(x, y);
    const pending = end();
    copy(x, y);
    const { spans, marks } = await pending;
    assert.equal([spans.length, marks.length], [1, 0]);
  }
});

test('collectives ~> their numbers, and the bytes that this rank sent', async () => {
  const devices = [openCpuDevice(), openCpuDevice()];
  const comms = createInProcessGroup(devices);
  const tensors = devices.map((device) => zeros(device, [6]));
  for (const [i, { stream }] of comms.entries()) stream.wait(devices[i]!.compute.record());
  comms.forEach((comm, i) => {
    comm.allReduce(tensors[i]!);
  });
  const ends = comms.map(({ stream }) => stream.trace({ maxSpans }));
  const sentBefore = await Promise.all(
    comms.map(async (comm) => {
      await comm.stream.sync();
      return comm.bytesSent();
    }),
  );
  comms[0]!.send(tensors[0]!, 1);
  comms[1]!.recv(tensors[1]!, 0);
  comms.forEach((comm, i) => {
    comm.allReduce(tensors[i]!);
  });
  const [first, second] = await Promise.all(ends.map((end) => end()));
  checkTrace(first!);
  const told = ({ spans }: StreamTrace) => spans.map(({ op, collective }) => [op, collective?.number]);
  assert.equal(told(first!), [
    ['commExchange', 2],
    ['commAllReduce', 3],
  ]);
  assert.equal(told(second!), told(first!));
  assert.equal(
    [first!, second!].map(({ spans }) => spans[0]!.collective!.bytesSent),
    [24, 0],
  );
  [first!, second!].forEach(({ spans }, i) => {
    const sent = spans.reduce((sum, { collective }) => sum + collective!.bytesSent, 0);
    assert.is(sent, comms[i]!.bytesSent() - sentBefore[i]!);
  });
  for (const comm of comms) comm.close();
  for (const device of devices) device.close();
});

test('gpu ~> a graph is recorded inside of a trace: its launches are in it, its ops are not', () =>
  withFakeGpu({}, async (device) => {
    const [x, y] = vectors(device);
    await device.compute.sync();
    const end = device.compute.trace({ maxSpans });
    const graph = device.compute.capture(() => copy(x, y));
    graph.launch();
    graph.launch();
    const trace = await end();
    checkTrace(trace);
    assert.equal(
      trace.spans.map(({ op }) => op),
      ['graphLaunch', 'graphLaunch'],
    );
    graph.release();
    await device.compute.sync();
  }));

test('a second trace before the first has ended ~> E-TRACE', async () => {
  const device = openCpuDevice();
  const end = device.compute.profile();
  assert.throws(() => device.compute.trace(), /E-TRACE.*stream "compute".*before the first has ended/);
  await end();
  await device.compute.trace()();
  device.close();
});

test('a failure of the device ~> the trace rejects with it', async () => {
  const device = openCpuDevice();
  const end = device.compute.trace({ maxSpans });
  device.compute.closeGate();
  const pending = end().then(
    () => null,
    (error: Error) => error.message,
  );
  axpy(1, zeros(device, [2]), zeros(device, [2]));
  device.close();
  assert.match((await pending)!, /E-STREAM/);
});

test.run();
