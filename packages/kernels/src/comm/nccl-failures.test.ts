import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openCpuDevice, openCudaDevice } from '../device.js';
import { fromArray } from '../tensor.js';
import { rejectionOf } from '../testing/fake-gpu.js';
import { createInProcessGroup } from './in-process.js';
import { connectNccl, createNcclGroupId } from './nccl.js';
import { checkClosed, checkFailureElsewhere, failureOf, vectorOn } from './testing/failures.js';
import { openFakeNcclGroup } from './testing/groups.js';

// What goes wrong between GPUs, over a fake NCCL on fake GPUs (comm/testing/fake_nccl.cc).

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

test('abort frees the GPU of the waiting rank, and its peers fail naming whom they waited for', async () => {
  const group = await openFakeNcclGroup(3);
  const [first, second, third] = group.comms;
  first!.recv(vectorOn(first!), 1);
  second!.recv(vectorOn(second!), 2);
  third!.allReduce(vectorOn(third!));
  // Until all are on the GPU.
  await sleep(50);

  second!.abort('out of luck');
  second!.abort('another reason');

  const aborted = await failureOf(second!);
  assert.is(aborted.code, 'E-COMM-ABORT');
  assert.match(aborted.message, /sp rank 1 of 3 was aborted: out of luck/);
  const lost = await failureOf(first!);
  assert.is(lost.code, 'E-COMM-PEER');
  assert.is(lost.exitCode, 8);
  const receive =
    /sp rank 0 of 3: rank 1 is gone \(remote process exited.*\) in a receive of 16 bytes from rank 1 \(collective 1\)/;
  assert.match(lost.message, receive);
  const everybody = /sp rank 2 of 3: another rank is gone .* in an all-reduce of 16 bytes \(collective 1\)/;
  assert.match((await failureOf(third!)).message, everybody);
  await group.close();
});

test('what follows a failure is skipped and reports the first reason', async () => {
  const group = await openFakeNcclGroup(2);
  const [first, second] = group.comms;
  first!.abort('first');
  first!.allReduce(vectorOn(first!));
  first!.abort('second');
  assert.match((await failureOf(first!)).message, /E-COMM-ABORT.*first/);
  second!.abort('other rank');
  second!.barrier();
  assert.match((await failureOf(second!)).message, /other rank/);
  await group.close();
});

test('a peer that does nothing runs into the deadline, which names the collective', async () => {
  // The barrier has the same deadline and must not run into it.
  const group = await openFakeNcclGroup(3, { timeoutMs: 3000 });
  const first = group.comms[0]!;
  for (const comm of group.comms) comm.barrier();
  first.recv(vectorOn(first), 2);
  const late = await failureOf(first);
  assert.is(late.code, 'E-COMM-DEADLINE');
  const found = /sp rank 0 of 3: the deadline passed in a receive of 16 bytes from rank 2 \(collective 2\)/;
  assert.match(late.message, found);
  await group.close();
});

test('time before the collective has its turn on the GPU does not count', async () => {
  const group = await openFakeNcclGroup(2, { timeoutMs: 3000 });
  const tensors = group.comms.map((comm) => fromArray(comm.stream.device, [1], [1]));
  const gates = group.devices.map((device) => device.compute.closeGate());
  for (const comm of group.comms) {
    comm.stream.wait(comm.stream.device.compute.record());
    comm.allReduce(tensors[comm.rank]!);
  }
  await sleep(3500);
  for (const open of gates) open();
  for (const tensor of tensors) assert.equal([...(await tensor.read(group.comms[0]!.stream))], [2]);
  await group.close();
});

test('a peer that vanishes unseen, as between GPUs of one host, runs into the deadline', async () => {
  const group = await openFakeNcclGroup(2, { timeoutMs: 150, fake: 'mute=1' });
  const [first, second] = group.comms;
  first!.exchange([{ tensor: vectorOn(first!), peer: 1 }], [{ tensor: vectorOn(first!), peer: 1 }]);
  second!.abort('a death');
  assert.match(
    (await failureOf(first!)).message,
    /E-COMM-DEADLINE.*an exchange of 2 messages, 32 bytes, with rank 1 \(collective 1\)/,
  );
  await group.close();
});

for (const [kind, fake] of Object.entries({ 'refuses a call': '', 'fails on the GPU': 'late:' })) {
  test(`NCCL ${kind} ~> its own words, and where more can be had`, async () => {
    const group = await openFakeNcclGroup(2);
    process.env.LONGSCAN_FAKE_NCCL = `fail=${fake}ncclAllReduce`;
    const first = group.comms[0]!;
    first.allReduce(vectorOn(first));
    const error = await failureOf(first);
    assert.is(error.code, 'E-NCCL');
    assert.is(error.exitCode, 3);
    const pattern = /sp rank 0 of 2: NCCL failed in an all-reduce of 16 bytes \(collective 1\): .*NCCL_DEBUG/;
    assert.match(error.message, pattern);
    await group.close();
  });
}

test('not all ranks join: the ones that wait give up in time', async () => {
  const device = openCudaDevice({ kernels: false });
  const id = createNcclGroupId();
  const error = await rejectionOf(
    connectNccl({ device, axis: 'world', id, rank: 1, size: 2, connectTimeoutMs: 100 }),
  );
  assert.is(error.code, 'E-COMM-CONNECT');
  assert.match(error.message, /world rank 1 of 2: not all ranks have joined the group within 100 ms/);
  device.close();
});

test('a signal ends the wait for ranks that do not join, and what comes later', async () => {
  const device = openCudaDevice({ kernels: false });
  const stop = new AbortController();
  const group = { device, axis: 'world', id: createNcclGroupId(), rank: 1, size: 2, signal: stop.signal };
  const joining = rejectionOf(connectNccl(group));
  await sleep(20);
  stop.abort('nobody comes');
  assert.match((await joining).message, /E-COMM-ABORT.*world rank 1 of 2 was aborted: nobody comes/);
  device.close();
  const late = openCudaDevice({ kernels: false });
  assert.match((await rejectionOf(connectNccl({ ...group, device: late }))).message, /aborted: nobody comes/);
  late.close();
});

test('a failure elsewhere on the device aborts its communicators', () =>
  checkFailureElsewhere(openFakeNcclGroup));

test('a device closes without waiting for a peer that its GPU waits for, nothing being left to launch', async () => {
  const timeoutMs = 600_000;
  const group = await openFakeNcclGroup(2, { timeoutMs });
  const [first, second] = group.comms;
  first!.recv(vectorOn(first!), 1);
  await sleep(50);
  const start = performance.now();
  group.devices[0]!.close();
  assert.ok(performance.now() - start < timeoutMs, 'it waited for the deadline');
  second!.recv(vectorOn(second!), 0);
  assert.is((await failureOf(second!)).code, 'E-COMM-PEER');
  group.devices[1]!.close();
});

test('a device that closes right behind its communicator takes nothing back from peers', async () => {
  const group = await openFakeNcclGroup(2);
  const [first, second] = group.comms;
  const [sent, received] = [fromArray(group.devices[0]!, [7], [1]), vectorOn(second!, 1)];
  first!.stream.wait(group.devices[0]!.compute.record());
  first!.send(sent, 1);
  second!.recv(received, 0);
  // Until both are on the GPU.
  await sleep(50);
  first!.close();
  group.devices[0]!.close();
  assert.equal([...(await received.read(second!.stream))], [7]);
  second!.close();
  group.devices[1]!.close();
});

test('a closed communicator takes no work; its peer fails only if it needs it', () =>
  checkClosed(openFakeNcclGroup));

test('engines and devices that do not fit each other are refused at the call', async () => {
  const [cpu, gpu] = [openCpuDevice(), openCudaDevice({ kernels: false })];
  const id = createNcclGroupId();
  const error = await rejectionOf(connectNccl({ device: cpu, axis: 'sp', id, rank: 0, size: 1 }));
  assert.match(error.message, /commConnectNccl: NCCL is for GPUs/);
  assert.throws(() => createInProcessGroup([gpu]), /ranks of one process are for the CPU/);
  for (const device of [cpu, gpu]) device.close();
});

test('wrong arguments throw at the call, and nothing has failed', async () => {
  const group = await openFakeNcclGroup(2);
  const comm = group.comms[0]!;
  const [three, four] = [vectorOn(comm, 3), vectorOn(comm, 4)];
  const halves = fromArray(comm.stream.device, [1, 2], [2], 'bf16');
  assert.throws(() => comm.allGather(three, four), /output has 4 elements, expected 2 x 3/);
  assert.throws(() => comm.send(three, 0), /peer 0 is not another rank of a group of 2/);
  assert.throws(() => comm.allReduce(halves), /sums over ranks are of f32 or f64, not of bf16/);
  await comm.stream.sync();
  await group.close();
});

test('recordBytesSent and attachProgress ~> in the order of the stream', async () => {
  const group = await openFakeNcclGroup(2);
  const comm = group.comms[0]!;
  const slots = new Int32Array(new SharedArrayBuffer(8));
  comm.attachProgress(slots, 1);
  const counts = fromArray(comm.stream.device, [-1, -1], [2], 'f64');
  const tensors = group.comms.map((each) => vectorOn(each));
  comm.recordBytesSent(counts, 0);
  for (const each of group.comms) each.allReduce(tensors[each.rank]!);
  comm.recordBytesSent(counts, 1);
  assert.equal([...(await counts.read(comm.stream))], [0, 16]);
  assert.equal([...slots], [0, 1]);
  await group.close();
});

test.run();
