import * as assert from 'uvu/assert';
import { LongscanError } from '../../errors.js';
import { fromArray, type Tensor } from '../../tensor.js';
import { rejectionOf } from '../../testing/fake-gpu.js';
import type { Communicator } from '../communicator.js';
import type { TestGroup } from './groups.js';

type OpenGroup = (numRanks: number) => TestGroup | Promise<TestGroup>;

/** The error of this rank's device; it must fail. */
export async function failureOf(comm: Communicator): Promise<LongscanError> {
  const error = await rejectionOf(comm.stream.sync());
  assert.instance(error, LongscanError);
  const other = await rejectionOf(comm.stream.device.compute.sync());
  assert.is(other.message, error.message, 'compute fails with it too');
  return error;
}

/** Zeros, there for whatever the communicator does next. */
export function vectorOn(comm: Communicator, size = 4): Tensor {
  const tensor = fromArray(comm.stream.device, new Float32Array(size), [size]);
  comm.stream.wait(comm.stream.device.compute.record());
  return tensor;
}

/** A failure elsewhere on a device aborts its communicators. */
export async function checkFailureElsewhere(open: OpenGroup): Promise<void> {
  const group = await open(2);
  const [first, second] = group.comms;
  first!.recv(vectorOn(first!), 1);
  second!.recv(vectorOn(second!), 0);
  group.devices[1]!.close();
  assert.is((await failureOf(first!)).code, 'E-COMM-PEER');
  first!.close();
  second!.close();
  group.devices[0]!.close();
}

/** A closed communicator takes no work; its peer fails only if it needs it. */
export async function checkClosed(open: OpenGroup): Promise<void> {
  const group = await open(2);
  const [first, second] = group.comms;
  for (const comm of group.comms) comm.barrier();
  first!.close();
  assert.throws(() => first!.barrier(), /commBarrier: the communicator is closed/);
  assert.throws(() => first!.close(), /the communicator is closed already/);
  first!.abort('too late to matter');
  await first!.stream.sync();
  await second!.stream.sync();
  second!.recv(vectorOn(second!), 0);
  assert.is((await failureOf(second!)).code, 'E-COMM-PEER');
  second!.close();
  for (const device of group.devices) device.close();
}
