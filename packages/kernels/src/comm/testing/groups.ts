import { type Device, openCpuDevice, openCudaDevice } from '../../device.js';
import { fakeDriver, fakeKernels, fakeNccl } from '../../testing/fake-gpu.js';
import type { Communicator } from '../communicator.js';
import { createInProcessGroup } from '../in-process.js';
import { connectNccl, createNcclGroupId, type NcclGroupOptions } from '../nccl.js';
import type { ChainCarrier } from '../peer-memory.js';
import { connectTcp, openListener, type TcpGroupOptions } from '../tcp.js';

/** A group of ranks in this process, and what is under it. */
export interface TestGroup {
  readonly comms: readonly Communicator[];
  readonly devices: readonly Device[];
  close(): Promise<void>;
}

const openDevices = (numRanks: number) =>
  Array.from({ length: numRanks }, () => openCpuDevice({ poison: true }));

export function openInProcessGroup(numRanks: number, options: { timeoutMs?: number } = {}): TestGroup {
  const devices = openDevices(numRanks);
  return testGroup(devices, createInProcessGroup(devices, { timeoutMs: 20_000, ...options }), () => {});
}

/** Every rank with a listener of its own, as in processes of their own. */
export async function openTcpGroup(
  numRanks: number,
  options: Partial<TcpGroupOptions> = {},
): Promise<TestGroup> {
  const devices = openDevices(numRanks);
  const listeners = devices.map(() => openListener('127.0.0.1'));
  const addresses = listeners.map(({ port }) => ({ host: '127.0.0.1', port }));
  const comms = await Promise.all(
    devices.map((device, rank) =>
      connectTcp({ ...testJob, device, listener: listeners[rank]!, rank, addresses, ...options }),
    ),
  );
  return testGroup(devices, comms, () => {
    for (const listener of listeners) listener.close();
  });
}

/** What NCCL (comm/testing/fake_nccl.cc) and GPUs (cuda/testing) pretend to be. */
export interface FakeNccl {
  readonly fake?: string;
  readonly fakeGpu?: string;
}

/** Ranks on fake GPUs. */
export interface FakeNcclGroup extends TestGroup {
  /** What each rank found of chains. */
  readonly chains: readonly ChainCarrier[];
}

/** Ranks on fake GPUs, over an NCCL that is a fake too; with `peerMemory` also the kernels. */
export async function openFakeNcclGroup(
  numRanks: number,
  { fake = '', fakeGpu = '', ...options }: FakeNccl & Partial<NcclGroupOptions> = {},
): Promise<FakeNcclGroup> {
  process.env.LONGSCAN_CUDA_DRIVER = fakeDriver;
  process.env.LONGSCAN_NCCL = fakeNccl;
  process.env.LONGSCAN_CUDA = fakeKernels;
  process.env.LONGSCAN_FAKE_NCCL = fake;
  process.env.LONGSCAN_FAKE_CUDA = fakeGpu;
  const devices = Array.from({ length: numRanks }, () => openCudaDevice({ poison: true, kernels: false }));
  const { axis, connectTimeoutMs, timeoutMs } = testJob;
  const id = createNcclGroupId();
  const group = { axis, id, size: numRanks, connectTimeoutMs, timeoutMs, ...options };
  const ranks = await Promise.all(devices.map((device, rank) => connectNccl({ ...group, device, rank })));
  const comms = ranks.map(({ comm }) => comm);
  return { ...testGroup(devices, comms, () => {}), chains: ranks.map(({ chains }) => chains) };
}

/** What all ranks of a test agree on. */
export const testJob = {
  jobId: 'test-job',
  axis: 'sp',
  token: '0123456789abcdef0123456789abcdef',
  epoch: 1,
  connectTimeoutMs: 20_000,
  timeoutMs: 20_000,
};

function testGroup(
  devices: readonly Device[],
  comms: readonly Communicator[],
  closeRest: () => void,
): TestGroup {
  const close = async () => {
    for (const comm of comms) comm.close();
    // Failures are the business of the test itself.
    await Promise.allSettled(comms.map((comm) => comm.stream.sync()));
    closeRest();
    for (const device of devices) device.close();
  };
  return { comms, devices, close };
}
