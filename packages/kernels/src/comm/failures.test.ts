import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fromArray } from '../tensor.js';
import { checkClosed, checkFailureElsewhere, failureOf, vectorOn } from './testing/failures.js';
import { openInProcessGroup, openTcpGroup } from './testing/groups.js';

const engines = { 'in-process': openInProcessGroup, tcp: openTcpGroup };

for (const [engine, open] of Object.entries(engines)) {
  test(`${engine} ~> abort wakes the waiting rank, and its peers fail naming it`, async () => {
    const group = await open(3);
    const [first, second, third] = group.comms;
    first!.recv(vectorOn(first!), 1);
    second!.recv(vectorOn(second!), 2);
    third!.recv(vectorOn(third!), 1);

    second!.abort('out of luck');
    second!.abort('another reason');

    const aborted = await failureOf(second!);
    assert.is(aborted.code, 'E-COMM-ABORT');
    assert.match(aborted.message, /sp rank 1 of 3 was aborted: out of luck/);
    for (const peer of [first!, third!]) {
      const lost = await failureOf(peer);
      assert.is(lost.code, 'E-COMM-PEER');
      assert.match(lost.message, new RegExp(`sp rank ${peer.rank} of 3: rank 1 is gone`));
      assert.match(lost.message, /receive of 16 bytes from rank 1 \(0 moved\)/);
    }
    await group.close();
  });

  test(`${engine} ~> what follows a failure is skipped and reports the first reason`, async () => {
    const group = await open(2);
    const [first, second] = group.comms;
    const tensor = vectorOn(first!);
    first!.abort('first');
    first!.allReduce(tensor);
    assert.match((await failureOf(first!)).message, /first/);
    second!.abort('other rank');
    second!.barrier();
    assert.match((await failureOf(second!)).message, /other rank/);
    await group.close();
  });

  test(`${engine} ~> a peer that does nothing runs into the deadline, by name`, async () => {
    const group = await open(3, { timeoutMs: 100 });
    const first = group.comms[0]!;
    first.recv(vectorOn(first), 2);
    const late = await failureOf(first);
    assert.is(late.code, 'E-COMM-DEADLINE');
    assert.match(late.message, /sp rank 0 of 3: the deadline passed in a receive of 16 bytes from rank 2/);
    await group.close();
  });

  test(`${engine} ~> a send that nobody takes runs into the deadline too`, async () => {
    const group = await open(2, { timeoutMs: 200 });
    const first = group.comms[0]!;
    first.send(vectorOn(first, 8 << 20), 1);
    const late = await failureOf(first);
    assert.is(late.code, 'E-COMM-DEADLINE');
    assert.match(late.message, /send of 33554432 bytes to rank 1/);
    await group.close();
  });

  test(`${engine} ~> a failure elsewhere on the device aborts its communicators`, () =>
    checkFailureElsewhere(open));

  test(`${engine} ~> a closed communicator takes no work; its peer fails only if it needs it`, () =>
    checkClosed(open));
}

test('wrong arguments throw at the call, and nothing has failed', async () => {
  const group = openInProcessGroup(2);
  const comm = group.comms[0]!;
  const three = vectorOn(comm, 3);
  const four = vectorOn(comm, 4);
  const integers = fromArray(comm.stream.device, [1, 2], [2], 'i32');
  assert.throws(() => comm.allGather(three, four), /output has 4 elements, expected 2 x 3/);
  assert.throws(() => comm.send(three, 0), /peer 0 is not another rank of a group of 2/);
  assert.throws(() => comm.recv(three, 2), /peer 2 is not another rank/);
  assert.throws(() => comm.broadcast(three, -1), /root -1 is not a rank/);
  assert.throws(() => comm.allReduce(integers), /sums over ranks are of f32 or f64, not of i32/);
  assert.throws(() => comm.reduceScatter(four, three), /counts do not add up to the 4 elements of input/);
  assert.throws(() => comm.reduceScatter(four, three, [2, 2]), /output has 3 elements, this rank's block 2/);
  await comm.stream.sync();
  await group.close();
});

test('attachProgress ~> the slot holds the number of the collective begun last', async () => {
  const group = openInProcessGroup(2);
  const slots = new Int32Array(new SharedArrayBuffer(8));
  group.comms[0]!.attachProgress(slots, 1);
  for (let i = 0; i < 3; i++) for (const comm of group.comms) comm.barrier();
  await group.comms[0]!.stream.sync();
  assert.equal([...slots], [0, 3]);
  assert.throws(() => group.comms[0]!.attachProgress(slots, 2), /index is outside of slots/);
  await group.close();
});

test.run();
