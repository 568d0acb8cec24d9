import { once } from 'node:events';
import { connect } from 'node:net';
import {
  connectNccl,
  countGpus,
  createNcclGroupId,
  gemmInfo,
  LongscanError,
  openCpuDevice,
  openCudaDevice,
  openNccl,
  peerMemoryFromEnv,
} from '@longscan/kernels/machine';
import type { FactMessage, FactName, Known, Refusal } from '../protocol/facts.js';

/** Entry of a process that finds one fact of this machine: `node main.js NAME ARGUMENT…`, forked, tells it and ends. */

const facts: { readonly [N in FactName]: (...args: string[]) => Known<N> | Promise<Known<N>> } = {
  addon() {
    const device = openCpuDevice();
    return { cpu: device.native.cpuInfo().name, products: attempt(() => gemmInfo(device)) };
  },

  'gpu-count': countGpus,

  gpu(index) {
    const device = openCudaDevice({ index: Number(index), kernels: false });
    const info = device.gpu();
    const products = attempt(() => gemmInfo(device));
    const kernels = attempt(() => {
      openCudaDevice({ index: Number(index) }).close();
      return null;
    });
    device.close();
    return { ...info, kernels, products };
  },

  nccl: openNccl,

  async group(rank, size, given) {
    const id = given ?? createNcclGroupId();
    if (given === undefined) tell({ kind: 'group-id', id });
    const device = openCudaDevice({ index: Number(rank) });
    const { comm, chains } = await connectNccl({
      ...{ device, axis: 'doctor', id, rank: Number(rank), size: Number(size) },
      connectTimeoutMs: 30_000,
      peerMemory: peerMemoryFromEnv(),
    });
    comm.barrier();
    await comm.stream.sync();
    comm.close();
    await comm.stream.sync();
    device.close();
    return chains;
  },

  async loopback(port) {
    const socket = connect({ host: '127.0.0.1', port: Number(port) });
    const [answer] = (await once(socket, 'data')) as [Buffer];
    socket.end();
    return answer.toString();
  },
};

type Attempt<T> = { readonly ok: true; readonly value: T } | Refusal;

function attempt<T>(find: () => T): Attempt<T> {
  try {
    return { ok: true, value: find() };
  } catch (error) {
    return refusalOf(error);
  }
}

function refusalOf(error: unknown): Refusal {
  if (!(error instanceof LongscanError)) {
    const found = error instanceof Error ? error.message : String(error);
    return { ok: false, code: 'E-BUG', found };
  }
  const { code, found, expected, fix } = error.parts;
  return {
    ok: false,
    code,
    found,
    ...(expected !== undefined && { expected }),
    ...(fix !== undefined && { fix }),
  };
}

function tell(message: FactMessage): Promise<void> {
  return new Promise((resolve) => process.send!(message, () => resolve()));
}

// Nobody is left to tell.
process.on('disconnect', () => process.exit());
const [name, ...args] = process.argv.slice(2);
const outcome = await Promise.resolve()
  .then(() => facts[name as FactName](...args))
  .then((value) => ({ ok: true, value }) as const, refusalOf);
await tell({ kind: 'outcome', outcome });
process.exit();
