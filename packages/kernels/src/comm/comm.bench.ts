import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import os from 'node:os';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { openCpuDevice } from '../device.js';
import { fromArray, type Tensor } from '../tensor.js';
import type { Communicator } from './communicator.js';
import { connectTcp, openListener } from './tcp.js';
import { testJob } from './testing/groups.js';

// Collectives over TCP between processes of this machine: `node dist/comm/comm.bench.js [numRanks…]` (default 2 4).
// Prints a Markdown table: median, 10th and 90th percentile over the samples of several launches; a sample is the
// mean of a run of calls.

const sizes = [8, 64 << 10, 2 << 20, 64 << 20];
const numLaunches = 3;
const numWarmUps = 2;
const numSamples = (bytes: number) => (bytes < 64 << 20 ? 21 : 7);

/** Bytes are per rank for allGather, of the whole vector for allReduce, each way for pingPong. */
const operations: Record<string, (comm: Communicator, input: Tensor, output: Tensor) => void> = {
  pingPong(comm, input) {
    if (comm.rank > 1) return;
    const peer = 1 - comm.rank;
    if (comm.rank === 0) comm.send(input, peer);
    comm.recv(input, peer);
    if (comm.rank === 1) comm.send(input, peer);
  },
  allGather: (comm, input, output) => comm.allGather(input, output),
  allReduce: (comm, input) => comm.allReduce(input),
};

interface Row {
  readonly operation: string;
  readonly bytes: number;
  /** Per call, one entry per sample. */
  readonly microseconds: readonly number[];
}

async function measure(comm: Communicator, operation: string, bytes: number): Promise<Row> {
  const { device } = comm.stream;
  const numElements = bytes / 4;
  const input = fromArray(device, new Float32Array(numElements), [numElements]);
  const output = fromArray(device, new Float32Array(numElements * comm.size), [numElements * comm.size]);
  comm.stream.wait(device.compute.record());
  const numCalls = Math.max(1, Math.min(100, Math.round((8 << 20) / bytes)));
  const samples: number[] = [];
  for (let sample = -numWarmUps; sample < numSamples(bytes); sample++) {
    comm.barrier();
    await comm.stream.sync();
    const start = performance.now();
    for (let call = 0; call < numCalls; call++) operations[operation]!(comm, input, output);
    await comm.stream.sync();
    if (sample >= 0) samples.push(((performance.now() - start) * 1000) / numCalls);
  }
  input.release();
  output.release();
  return { operation, bytes, microseconds: samples };
}

async function runRank(): Promise<void> {
  const listener = openListener('127.0.0.1');
  process.send!(listener.port);
  const [{ rank, ports }] = (await once(process, 'message')) as [{ rank: number; ports: number[] }];
  const device = openCpuDevice();
  const addresses = ports.map((port) => ({ host: '127.0.0.1', port }));
  const comm = await connectTcp({ ...testJob, device, listener, rank, addresses });
  for (const operation of Object.keys(operations)) {
    for (const bytes of sizes) {
      const row = await measure(comm, operation, bytes);
      if (rank === 0) process.send!(row);
    }
  }
  comm.close();
  listener.close();
  device.close();
  process.disconnect();
}

/** Starts the ranks in processes of their own; resolves with what rank 0 measured. */
async function launch(numRanks: number): Promise<Row[]> {
  const program = fileURLToPath(import.meta.url);
  const children: ChildProcess[] = Array.from({ length: numRanks }, () => fork(program, ['rank']));
  const ports = await Promise.all(children.map(async (child) => (await once(child, 'message'))[0] as number));
  const rows: Row[] = [];
  children[0]!.on('message', (row: Row) => rows.push(row));
  const exits = children.map((child) => once(child, 'exit'));
  children.forEach((child, rank) => void child.send({ rank, ports }));
  await Promise.all(exits);
  return rows;
}

async function measureGroup(numRanks: number): Promise<void> {
  const launches: Row[][] = [];
  for (let i = 0; i < numLaunches; i++) launches.push(await launch(numRanks));
  launches[0]!.forEach(({ operation, bytes }, i) => {
    const samples = launches.flatMap((rows) => rows[i]!.microseconds).sort((a, b) => a - b);
    const at = (share: number) => formatMicroseconds(samples[Math.round(share * (samples.length - 1))]!);
    console.log(
      `| ${numRanks} | ${operation} | ${formatBytes(bytes)} | ${at(0.5)} | ${at(0.1)} – ${at(0.9)} |`,
    );
  });
}

function formatBytes(bytes: number): string {
  if (bytes < 1 << 10) return `${bytes} B`;
  return bytes < 1 << 20 ? `${bytes >> 10} KiB` : `${bytes >> 20} MiB`;
}

const formatMicroseconds = (value: number) =>
  value < 100 ? value.toFixed(1) : Math.round(value).toLocaleString('en-US');

if (process.argv[2] === 'rank') {
  await runRank();
} else {
  const requested = process.argv.slice(2).map(Number);
  console.log(`${os.cpus()[0]!.model}, ${os.cpus().length} cores, node ${process.version}\n`);
  console.log('| ranks | operation | size | median µs | 10 % – 90 % |\n| --- | --- | --- | --- | --- |');
  for (const numRanks of requested.length > 0 ? requested : [2, 4]) await measureGroup(numRanks);
}
