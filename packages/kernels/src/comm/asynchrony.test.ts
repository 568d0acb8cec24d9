import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fromArray } from '../tensor.js';
import { settle } from './testing/check-group.js';
import { openFakeNcclGroup, openInProcessGroup, openTcpGroup } from './testing/groups.js';

const engines = { 'in-process': openInProcessGroup, tcp: openTcpGroup, nccl: openFakeNcclGroup };

for (const [engine, open] of Object.entries(engines)) {
  test(`${engine} ~> a collective completes while the compute stream is held`, async () => {
    const group = await open(2);
    const tensors = group.comms.map((comm) => fromArray(comm.stream.device, [comm.rank + 1, 10], [2]));
    for (const comm of group.comms) comm.stream.wait(comm.stream.device.compute.record());
    const openGates = group.devices.map((device) => device.compute.closeGate());

    for (const comm of group.comms) comm.allReduce(tensors[comm.rank]!);
    await settle(group.comms);

    for (const device of group.devices) assert.not(device.compute.isIdle(), 'compute is still held');
    for (const openGate of openGates) openGate();
    for (const tensor of tensors) assert.equal([...(await tensor.read())], [3, 20]);
    await group.close();
  });

  test(`${engine} ~> enqueueing returns while a collective waits for its peer`, async () => {
    const group = await open(2);
    const [first, second] = group.comms;
    const tensors = group.comms.map((comm) => fromArray(comm.stream.device, [comm.rank], [1]));
    for (const comm of group.comms) comm.stream.wait(comm.stream.device.compute.record());

    first!.recv(tensors[0]!, 1);
    first!.stream.device.compute.wait(first!.stream.record());
    await second!.stream.sync();
    assert.not(first!.stream.isIdle(), 'the receive waits, this thread does not');

    second!.send(tensors[1]!, 0);
    assert.equal([...(await tensors[0]!.read())], [1]);
    await group.close();
  });
}

test.run();
