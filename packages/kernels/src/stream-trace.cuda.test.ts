import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { axpy } from './ops/add/index.js';
import type { StreamTrace } from './stream-trace.js';
import { zeros } from './tensor.js';
import { testOnGpu } from './testing/gpu.js';

const maxSpans = 10_000;
/** Elapsed times of a GPU are floats. */
const roundingUs = 1;
/** Its clock is set against the host's to within half of what asking it takes; so much would be a host that stands still. */
const clockUs = 2000;

const nowUs = (): number => Number(process.hrtime.bigint()) / 1000;

function checkOrder({ spans, lengthUs }: StreamTrace): void {
  let last = -roundingUs;
  for (const { op, beginUs, endUs } of spans) {
    assert.ok(
      beginUs >= last - roundingUs && endUs >= beginUs,
      `${op} from ${beginUs} to ${endUs}, after ${last}`,
    );
    last = endUs;
  }
  assert.ok(last <= lengthUs + roundingUs, `${last} of ${lengthUs}`);
}

testOnGpu("ops in order, by the GPU's clock, set against the host's", async (device) => {
  const x = zeros(device, [1 << 20]);
  axpy(1, x, x);
  await device.compute.sync();
  const before = nowUs();
  const end = device.compute.trace({ maxSpans });
  // More than a stream of CUDA holds launches.
  const count = 3000;
  for (let i = 0; i < count; i++) axpy(1, x, x);
  device.compute.mark('over');
  const trace = await end();
  const after = nowUs();
  checkOrder(trace);
  assert.is(trace.spans.length, count);
  assert.is(trace.ops.axpy!.count, count);
  assert.ok(trace.marks[0]!.us >= trace.spans.at(-1)!.endUs - roundingUs);
  assert.ok(trace.beginUs >= before - clockUs, `began ${before - trace.beginUs} us before it was asked for`);
  assert.ok(trace.beginUs + trace.lengthUs <= after + clockUs);
  // The work is there, so most of the time some of it runs.
  const busyMs = trace.ops.axpy!.ms;
  assert.ok(busyMs > 0 && busyMs <= trace.lengthUs / 1000 + (count * roundingUs) / 1000);
});

testOnGpu(
  'a wait for communication ends after what it is for, and holds up what comes after it',
  async (device) => {
    const sp = device.createStream('sp', { urgent: true });
    const [x, y] = [zeros(device, [1 << 24]), zeros(device, [1 << 10])];
    axpy(1, y, y);
    sp.wait(device.compute.record());
    await sp.sync();
    const end = device.compute.trace({ ops: false, maxSpans });
    const endSp = sp.trace({ maxSpans });
    for (let i = 0; i < 200; i++) device.native.axpy(sp.id, 1, x.id, x.id);
    const event = sp.record();
    device.compute.wait(event);
    device.compute.mark('goes on');
    const [compute, communication] = await Promise.all([end(), endSp()]);
    checkOrder(compute);
    checkOrder(communication);
    const awaited = communication.spans.at(-1)!;
    assert.ok(awaited.ticket <= event.ticket);
    const [wait, ...more] = compute.spans;
    assert.equal(more, []);
    assert.equal(wait!.waitsFor, { stream: sp.id, ticket: event.ticket });
    const endOfWait = compute.beginUs + wait!.endUs;
    // Two of the GPU's times on one clock of the host, each rounded twice.
    assert.ok(endOfWait >= communication.beginUs + awaited.endUs - 4 * roundingUs);
    assert.ok(compute.marks[0]!.us >= wait!.endUs - roundingUs);
    assert.ok(Math.abs(1000 * compute.waitsMs[sp.id]! - (wait!.endUs - wait!.beginUs)) < 0.01);
  },
);

testOnGpu('a graph inside of a trace ~> its launches are in it, its recording is not', async (device) => {
  const x = zeros(device, [1 << 16]);
  axpy(1, x, x);
  await device.compute.sync();
  const end = device.compute.trace({ maxSpans });
  const graph = device.compute.capture(() => axpy(1, x, x));
  graph.launch();
  graph.launch();
  const trace = await end();
  checkOrder(trace);
  assert.equal(
    trace.spans.map(({ op }) => op),
    ['graphLaunch', 'graphLaunch'],
  );
  graph.release();
  await device.compute.sync();
});

test.run();
