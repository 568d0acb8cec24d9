import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { availableParallelism } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { formatBytes } from '../format.js';
import { coreQuota } from '../plan/control-groups.js';
import { availableMemory } from '../plan/host-memory.js';
import { onDisk } from '../run-folder/on-disk.js';
import { requireSpace, runsFolder } from '../run-folder/run-folder.js';
import { askFact } from './ask-fact.js';
import { type Check, checkOf } from './check.js';
import { libraryStatus } from './library-status.js';

/** Of a fact that needs no GPU. */
const deadlineMs = 20_000;

/** Less than this is little for whatever comes. */
const littleBytes = 2 ** 30;

/** bin/longscan.js lets no older one in. */
export function checkNode(): Check {
  return { name: 'node', status: 'ok', found: `${process.versions.node}, ${process.execPath}` };
}

/** The addon, and what multiplies matrices on this CPU, which a host that trains on GPUs can do without. */
export async function checkAddon(isForCpuJob: boolean): Promise<readonly Check[]> {
  const fact = await askFact('addon', [], { deadlineMs });
  if (!fact.ok) return [checkOf('addon', 'failed', fact)];
  const { cpu, products } = fact.value;
  const addon: Check = { name: 'addon', status: 'ok', found: `loads; ${cpu}` };
  if (!products.ok)
    return [addon, checkOf('onednn', libraryStatus(products, isForCpuJob, 'LONGSCAN_ONEDNN'), products)];
  const { engine, version, path } = products.value;
  const found = engine === 'builtin' ? 'not asked for (LONGSCAN_GEMM)' : `${version}, ${path}`;
  return [addon, { name: 'onednn', status: 'ok', found }];
}

/** `quota`: cores' worth of time that a control group leaves. */
export function checkCores(quota = coreQuota(), numCores = availableParallelism()): Check {
  const found = `${numCores}`;
  if (quota === null || quota >= numCores) return { name: 'cores', status: 'ok', found };
  return {
    name: 'cores',
    status: 'warning',
    found: `${found}, of which this container has the time of ${quota}`,
    fix: `device.threads = ${Math.max(1, Math.floor(quota))} over all ranks, or a larger quota`,
  };
}

export function checkMemory(bytes = availableMemory()): Check {
  const found = `${formatBytes(bytes)} available to this process`;
  if (bytes >= littleBytes) return { name: 'memory', status: 'ok', found };
  const fix = 'end other programs, or raise the limit of the container';
  return { name: 'memory', status: 'warning', found, expected: formatBytes(littleBytes), fix };
}

/** Writes where runs are made, and leaves nothing there. `neededBytes`: what a job's checkpoints want. */
export function checkDisk(neededBytes = 0, folder = resolve(runsFolder)): Check {
  let place = folder;
  while (!existsSync(place)) place = dirname(place);
  onDisk(place, () => {
    const trial = mkdtempSync(join(place, '.longscan-doctor-'));
    try {
      writeFileSync(join(trial, 'trial'), Buffer.alloc(2 ** 20));
    } finally {
      rmSync(trial, { recursive: true, force: true });
    }
  });
  requireSpace(place, neededBytes);
  const { bavail, bsize } = statfsSync(place);
  const free = bavail * bsize;
  const found = `${place} can be written, ${formatBytes(free)} free`;
  if (free >= littleBytes) return { name: 'disk', status: 'ok', found };
  return {
    name: 'disk',
    status: 'warning',
    found,
    expected: formatBytes(littleBytes),
    fix: 'free some space',
  };
}

/** Ranks and coordinator of one host talk through the loopback interface: another process connects and is told a word. */
export async function checkSockets(): Promise<Check> {
  const word = randomUUID();
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.end(word);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const fact = await askFact('loopback', [String(port)], { deadlineMs });
  server.close();
  const fix = 'allow connections within 127.0.0.1 (firewall, sandbox)';
  if (!fact.ok) return checkOf('sockets', 'failed', { fix, ...fact });
  if (fact.value === word)
    return { name: 'sockets', status: 'ok', found: 'two processes reach each other on 127.0.0.1' };
  return { name: 'sockets', status: 'failed', found: `another program answers on 127.0.0.1:${port}`, fix };
}
