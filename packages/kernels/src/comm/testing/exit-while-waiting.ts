import { fromArray } from '../../tensor.js';
import { openTcpGroup } from './groups.js';

// Leaves by process.exit while a native thread waits for a message that never comes.

const { comms } = await openTcpGroup(2, { timeoutMs: 600_000 });
for (const comm of comms) {
  const tensor = fromArray(comm.stream.device, [0], [1]);
  comm.stream.wait(comm.stream.device.compute.record());
  comm.recv(tensor, 1 - comm.rank);
}
setTimeout(() => process.exit(42), 20);
