import { type Device, fromArray, type LongscanError, openCpuDevice, openCudaDevice } from '@longscan/kernels';
import { fakeDriver, fakeKernels, fakeNccl } from '@longscan/kernels/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { progressWord } from './control/progress.js';
import { connectMesh, type RankMesh } from './mesh.js';
import type { Addresses } from './protocol/messages.js';
import type { RankContext, RankControl } from './rank-context.js';

/** What the coordinator does with addresses: all ranks get those of all. */
class Table {
  readonly #addresses: Addresses[] = [];
  readonly #complete: ((table: unknown) => void)[] = [];
  constructor(
    readonly numRanks: number,
    /** What a rank tells instead of the truth. */
    readonly lie: (rank: number, addresses: Addresses) => Addresses = (_, addresses) => addresses,
  ) {}

  control(rank: number): Partial<RankControl> & { abort(reason: string): void } {
    let abort = (_: string) => {};
    return {
      exchangeAddresses: (addresses) => {
        this.#addresses[rank] = this.lie(rank, addresses);
        const table = new Promise((resolve) => this.#complete.push(resolve));
        if (this.#complete.length === this.numRanks) this.#tell();
        return table as ReturnType<RankControl['exchangeAddresses']>;
      },
      onAbort: (callback) => {
        abort = callback;
      },
      abort: (reason) => abort(reason),
    };
  }

  #tell(): void {
    const ranks = this.#addresses.map((addresses, rank) => ({ rank, host: 'host', addresses }));
    for (const resolve of this.#complete) resolve({ type: 'rank-table', ranks });
  }
}

interface Rank {
  readonly device: Device;
  readonly progress: Int32Array;
  readonly control: ReturnType<Table['control']>;
  readonly log: string[];
  connect(): Promise<RankMesh>;
}

function ranksOf(kind: 'cpu' | 'cuda', sp: number, table: Table): Rank[] {
  return Array.from({ length: table.numRanks }, (_, rank) => {
    const device = kind === 'cpu' ? openCpuDevice() : openCudaDevice({ kernels: false });
    const control = table.control(rank);
    const progress = new Int32Array(new SharedArrayBuffer(12));
    const log: string[] = [];
    const context = {
      assignment: {
        ...{ jobId: 'mesh-test', jobToken: '0123456789abcdef0123456789abcdef', epoch: 1 },
        ...{ plan: { mesh: { sp } }, timeouts: { collectiveTimeoutMs: 60_000 } },
      },
      env: { rank, worldSize: table.numRanks },
      control,
      progress,
      log: (line: string) => log.push(line),
    } as unknown as RankContext;
    return { device, progress, control, log, connect: () => connectMesh(context, device) };
  });
}

/** The error by which each rank's connecting ends. */
const failuresOf = (ranks: readonly Rank[]) =>
  Promise.all(
    ranks.map((rank) =>
      rank.connect().then(
        () => assert.unreachable('a rank connected'),
        (error: LongscanError) => error,
      ),
    ),
  ) as Promise<LongscanError[]>;

function useFakes(nccl = fakeNccl): void {
  process.env.LONGSCAN_CUDA_DRIVER = fakeDriver;
  process.env.LONGSCAN_CUDA = fakeKernels;
  process.env.LONGSCAN_NCCL = nccl;
}

// NCCL is opened once in a process, so a test without one comes first.
test('cuda ~> a rank without NCCL ends all of them, with the same words', async () => {
  useFakes('/nowhere/libnccl.so.2');
  const told: Addresses = { nccl: '2.28.3', 'nccl-id:world': 'an id' };
  const ranks = ranksOf('cuda', 2, new Table(2, (rank, addresses) => (rank === 0 ? told : addresses)));
  const errors = await failuresOf(ranks);
  for (const error of errors) {
    assert.is(error.message, errors[0]!.message);
    assert.is(error.exitCode, 3);
    assert.match(
      error.message,
      /error\[E-NCCL\] rank 1: .*Tried: \/nowhere\/libnccl\.so\.2.*Fix: .*pip install/,
    );
  }
  for (const { device } of ranks) device.close();
});

test('cuda ~> ranks with different NCCLs all end, told who has which', async () => {
  useFakes();
  const lie = (rank: number, addresses: Addresses) =>
    rank === 2 ? { ...addresses, nccl: '2.27.7' } : addresses;
  const ranks = ranksOf('cuda', 1, new Table(3, lie));
  for (const error of await failuresOf(ranks)) {
    assert.is(error.exitCode, 3);
    assert.match(
      error.message,
      /E-NCCL.*NCCL 2\.28\.3 on rank 0, 1; NCCL 2\.27\.7 on rank 2, expected the same.*Fix/,
    );
  }
  for (const { device } of ranks) device.close();
});

for (const kind of ['cpu', 'cuda'] as const) {
  test(`${kind} ~> a group per sequence and one of all ranks, and an abort that reaches them`, async () => {
    useFakes();
    const ranks = ranksOf(kind, 2, new Table(4));
    const meshes = await Promise.all(ranks.map((rank) => rank.connect()));
    for (const [rank, { sp, world }] of meshes.entries()) {
      assert.equal([sp!.rank, sp!.size, world!.rank, world!.size], [rank % 2, 2, rank, 4]);
      const chains = ranks[rank]!.log.filter((line) => line.includes('chains'));
      const mapped = `sp-${rank < 2 ? 0 : 1}: chains through the neighbours' mapped memory`;
      assert.equal(chains, kind === 'cuda' ? [mapped] : []);
    }
    const sums = meshes.map(({ sp, world }, rank) => {
      const { device } = ranks[rank]!;
      const tensors = [fromArray(device, [10 ** rank], [1]), fromArray(device, [10 ** rank], [1])] as const;
      for (const [i, group] of [sp!, world!].entries()) {
        group.stream.wait(device.compute.record());
        group.allReduce(tensors[i]!);
        device.compute.wait(group.stream.record());
      }
      return tensors;
    });
    for (const [rank, [inSequence, inWorld]] of sums.entries()) {
      assert.equal([...(await inSequence.read())], [rank < 2 ? 11 : 1100]);
      assert.equal([...(await inWorld.read())], [1111]);
      assert.is(ranks[rank]!.progress[progressWord.collective], 1);
    }
    if (kind === 'cuda') {
      assert.match(
        ranks[3]!.log.join(),
        /NCCL 2\.28\.3, .*fake_nccl\.so,sp-1: chains through .*mapped memory$/,
      );
      assert.ok(meshes.every(({ sp, world }) => sp!.chain !== undefined && world!.chain === undefined));
    }
    ranks[0]!.control.abort('the job is over');
    meshes[0]!.world!.barrier();
    const failed = await meshes[0]!.world!.stream.sync().catch((error) => error);
    assert.match(failed.message, /E-COMM-ABORT.*the job is over/);
    for (const mesh of meshes) mesh.close();
    for (const { device } of ranks) device.close();
  });

  test(`${kind} ~> a rank alone has no groups and needs no library for them`, async () => {
    useFakes('/nowhere/libnccl.so.2');
    const [rank] = ranksOf(kind, 1, new Table(1)) as [Rank];
    const { sp, world, close } = await rank.connect();
    assert.equal([sp, world], [null, null]);
    close();
    rank.device.close();
  });
}

test.run();
