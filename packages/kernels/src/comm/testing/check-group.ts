import * as assert from 'uvu/assert';
import { type DType, empty, fromArray, type Tensor } from '../../tensor.js';
import type { Communicator } from '../communicator.js';

/** Elements per block: nothing, one, odd, past the direct algorithms, and a vector of 5 MB in several pieces a block. */
const blockSizes = (numRanks: number) => [0, 1, 7, 1001, 20_011, Math.ceil(1_200_001 / numRanks)];

/**
 * Every collective on every block size, compared exactly: the inputs are small integers, so sums have one right
 * value whatever their order. Also compares `bytesSent` with what the algorithm has to send. `group` holds the
 * ranks of this process: all of them, or one of those that do the same in processes of their own.
 */
export async function checkCollectives(group: readonly Communicator[]): Promise<void> {
  const numRanks = sizeOf(group);
  const ranks = Array.from({ length: numRanks }, (_, rank) => rank);
  for (const size of blockSizes(numRanks)) {
    await checkAllGather(group, size);
    await checkReduceScatter(
      group,
      ranks.map(() => size),
    );
    await checkReduceScatter(
      group,
      ranks.map((rank) => size * (rank % 3)),
    );
    await checkAllReduce(group, size, 'f32');
    await checkAllReduce(group, size, 'f64');
    await checkExchange(group, size);
    await checkChain(group, size);
  }
  for (const root of ranks) await checkBroadcast(group, 1001, root);
  await checkBroadcast(group, 600_001, numRanks - 1);
  for (const comm of group) comm.barrier();
  await settle(group);
}

const sizeOf = (group: readonly Communicator[]) => group[0]!.size;

/** What `make` gives for each rank of the group, by rank. */
function byRank<T>(group: readonly Communicator[], make: (comm: Communicator) => T): T[] {
  const list: T[] = [];
  for (const comm of group) list[comm.rank] = make(comm);
  return list;
}

/** Waits for all ranks; the first failure is thrown. */
export async function settle(group: readonly Communicator[]): Promise<void> {
  await Promise.all(group.map((comm) => comm.stream.sync()));
}

/** Distinct for each rank and place, and small enough that sums over ranks are exact in f32. */
const value = (rank: number, i: number) => rank * 1000 + (i % 997);
const sumOfValues = (numRanks: number, i: number) =>
  (1000 * (numRanks * (numRanks - 1))) / 2 + numRanks * (i % 997);

function input(comm: Communicator, size: number, dtype: DType = 'f32'): Tensor {
  const values = new Float64Array(size);
  for (let i = 0; i < size; i++) values[i] = value(comm.rank, i);
  const tensor = fromArray(comm.stream.device, values, [size], dtype);
  comm.stream.wait(comm.stream.device.compute.record());
  return tensor;
}

const output = (comm: Communicator, size: number) => empty(comm.stream.device, [size], 'f32', comm.stream);

async function expectValues(
  name: string,
  comm: Communicator,
  tensor: Tensor,
  expected: (i: number) => number,
): Promise<void> {
  const found = await tensor.read(comm.stream);
  for (let i = 0; i < found.length; i++) {
    const wanted = expected(i);
    if (found[i] === wanted) continue;
    assert.is(found[i], wanted, `${name}, rank ${comm.rank} of ${comm.size}, element ${i}`);
  }
  tensor.release();
}

/** Runs one collective on all ranks and checks how many bytes each has sent. */
async function run(
  group: readonly Communicator[],
  name: string,
  body: (comm: Communicator) => void,
  sentBytes: (rank: number) => number,
): Promise<void> {
  const before = byRank(group, (comm) => comm.bytesSent());
  for (const comm of group) body(comm);
  await settle(group);
  for (const comm of group) {
    const { rank, size } = comm;
    const sent = comm.bytesSent() - before[rank]!;
    assert.is(sent, sentBytes(rank), `${name}: bytes sent by rank ${rank} of ${size}`);
  }
}

async function checkAllGather(group: readonly Communicator[], size: number): Promise<void> {
  const numRanks = sizeOf(group);
  const apart = byRank(group, (comm) => ({
    input: input(comm, size),
    output: output(comm, size * numRanks),
  }));
  const inPlace = byRank(group, (comm) => output(comm, size * numRanks));
  for (const { rank, stream } of group) {
    const values = new Float32Array(size * numRanks).fill(-1);
    for (let i = 0; i < size; i++) values[rank * size + i] = value(rank, i);
    inPlace[rank]!.write(values, stream);
  }
  const sent = () => (numRanks - 1) * size * 4;
  await run(
    group,
    `allGather ${size}`,
    (c) => c.allGather(apart[c.rank]!.input, apart[c.rank]!.output),
    sent,
  );
  await run(
    group,
    `allGather ${size} in place`,
    (comm) => {
      const own = inPlace[comm.rank]!.view([size], comm.rank * size);
      comm.allGather(own, inPlace[comm.rank]!);
      own.release();
    },
    sent,
  );
  const expected = (i: number) => value(Math.floor(i / size), i % size);
  for (const comm of group) {
    await expectValues(`allGather ${size}`, comm, apart[comm.rank]!.output, expected);
    await expectValues(`allGather ${size} in place`, comm, inPlace[comm.rank]!, expected);
    apart[comm.rank]!.input.release();
  }
}

async function checkReduceScatter(group: readonly Communicator[], counts: readonly number[]): Promise<void> {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const start = (rank: number) => counts.slice(0, rank).reduce((sum, count) => sum + count, 0);
  const name = `reduceScatter [${counts.join(' ')}]`;
  const inputs = byRank(group, (comm) => input(comm, total));
  const outputs = byRank(group, (comm) => output(comm, counts[comm.rank]!));
  const sent = (rank: number) => (total - counts[rank]!) * 4;
  await run(group, name, (c) => c.reduceScatter(inputs[c.rank]!, outputs[c.rank]!, counts), sent);
  const expected = (rank: number) => {
    const first = start(rank);
    return (i: number) => sumOfValues(sizeOf(group), first + i);
  };
  for (const comm of group) {
    const own = inputs[comm.rank]!.view([total]);
    await expectValues(`${name}, input untouched`, comm, own, (i) => value(comm.rank, i));
    await expectValues(name, comm, outputs[comm.rank]!, expected(comm.rank));
  }
  const blocks = byRank(group, (comm) => inputs[comm.rank]!.view([counts[comm.rank]!], start(comm.rank)));
  await run(group, name, (c) => c.reduceScatter(inputs[c.rank]!, blocks[c.rank]!, counts), sent);
  for (const comm of group) {
    await expectValues(`${name} in place`, comm, blocks[comm.rank]!, expected(comm.rank));
    inputs[comm.rank]!.release();
  }
}

async function checkAllReduce(group: readonly Communicator[], size: number, dtype: DType): Promise<void> {
  const tensors = byRank(group, (comm) => input(comm, size, dtype));
  for (const comm of group) comm.allReduce(tensors[comm.rank]!);
  await settle(group);
  for (const comm of group) {
    await expectValues(`allReduce ${size} ${dtype}`, comm, tensors[comm.rank]!, (i) =>
      sumOfValues(sizeOf(group), i),
    );
  }
}

async function checkBroadcast(group: readonly Communicator[], size: number, root: number): Promise<void> {
  const tensors = byRank(group, (comm) => input(comm, size));
  for (const comm of group) comm.broadcast(tensors[comm.rank]!, root);
  await settle(group);
  for (const comm of group) {
    await expectValues(`broadcast ${size} from ${root}`, comm, tensors[comm.rank]!, (i) => value(root, i));
  }
}

/** Everybody sends to both neighbours at once: sent one after the other this would stand still. */
async function checkExchange(group: readonly Communicator[], size: number): Promise<void> {
  const numRanks = sizeOf(group);
  if (numRanks === 1) return;
  const next = (rank: number) => (rank + 1) % numRanks;
  const prev = (rank: number) => (rank + numRanks - 1) % numRanks;
  const inputs = byRank(group, (comm) => input(comm, size));
  const fromPrev = byRank(group, (comm) => output(comm, size));
  const fromNext = byRank(group, (comm) => output(comm, size));
  await run(
    group,
    `exchange ${size}`,
    (comm) => {
      const { rank } = comm;
      const tensor = inputs[rank]!;
      const sends = [
        { tensor, peer: next(rank) },
        { tensor, peer: prev(rank) },
      ];
      const recvs = [
        { tensor: fromPrev[rank]!, peer: prev(rank) },
        { tensor: fromNext[rank]!, peer: next(rank) },
      ];
      comm.exchange(sends, recvs);
    },
    () => 2 * size * 4,
  );
  for (const comm of group) {
    await expectValues(`from prev ${size}`, comm, fromPrev[comm.rank]!, (i) => value(prev(comm.rank), i));
    await expectValues(`from next ${size}`, comm, fromNext[comm.rank]!, (i) => value(next(comm.rank), i));
    inputs[comm.rank]!.release();
  }
}

/** The pattern of `ring` and `all-scan`: receive from the previous rank, send to the next one; the last sends nothing. */
async function checkChain(group: readonly Communicator[], size: number): Promise<void> {
  const last = sizeOf(group) - 1;
  const tensors = byRank(group, (comm) => input(comm, size));
  await run(
    group,
    `chain ${size}`,
    (comm) => {
      if (comm.rank > 0) comm.recv(tensors[comm.rank]!, comm.rank - 1);
      if (comm.rank < last) comm.send(tensors[comm.rank]!, comm.rank + 1);
    },
    (rank) => (rank < last ? size * 4 : 0),
  );
  for (const comm of group) {
    await expectValues(`chain ${size}`, comm, tensors[comm.rank]!, (i) => value(0, i));
  }
}
