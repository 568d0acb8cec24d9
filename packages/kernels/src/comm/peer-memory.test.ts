import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { LongscanError } from '../errors.js';
import { empty, fromArray } from '../tensor.js';
import { failureOf, rejectionOf } from '../testing/fake-gpu.js';
import type { Communicator } from './communicator.js';
import { type ChainCarrier, describeCarrier, peerMemoryFromEnv } from './peer-memory.js';
import { chainCases, chainDifferences } from './testing/check-chains.js';
import { openFakeNcclGroup } from './testing/groups.js';

// Chains through mapped memory on fake GPUs (comm/testing/fake_nccl.cc, cuda/testing/fake_kernels.cc): what the host does.

/** Enqueues a rank's part of a chain of zeros. */
function startChain(comm: Communicator, step: 1 | -1 = 1): void {
  const { device } = comm.stream;
  const state = fromArray(device, new Float32Array(8), [1, 1, 2, 4]);
  comm.stream.wait(device.compute.record());
  const isFirst = comm.rank === (step === 1 ? 0 : comm.size - 1);
  const incoming = isFirst ? null : empty(device, state.shape);
  comm.chain!({ kind: 'identity', state, factor: null, reset: null }, incoming, step);
}

function messagesOf(chains: ChainCarrier) {
  if (chains.carrier !== 'messages') throw new Error('chains go through mapped memory');
  return chains;
}

const failureIn = (comm: Communicator): Promise<LongscanError> => rejectionOf(comm.stream.sync());
const freeBytes = ({ stream }: Communicator) => stream.device.gpu().freeBytes;

for (const numRanks of [2, 3, 4]) {
  test(`chains ~> what messages give, both ways, bytes counted: ${numRanks} ranks`, async () => {
    const group = await openFakeNcclGroup(numRanks, { peerMemory: 'allowed' });
    const cases = chainCases(['identity', 'scalar', 'fixed-scalar']);
    assert.equal(await chainDifferences(group.comms, cases), []);
    await group.close();
  });
}

test('the memory is given back when all have closed', async () => {
  const [watcher] = (await openFakeNcclGroup(1)).comms;
  const before = freeBytes(watcher!);
  const group = await openFakeNcclGroup(3, { peerMemory: 'allowed' });
  for (const comm of group.comms) startChain(comm);
  assert.ok(freeBytes(watcher!) < before);
  await group.close();
  assert.is(freeBytes(watcher!), before);
});

test('memory that cannot be mapped ~> chains by messages, the reason told by all alike', async () => {
  const group = await openFakeNcclGroup(3, { peerMemory: 'allowed', fakeGpu: 'ipc=none' });
  for (const [rank, comm] of group.comms.entries()) {
    assert.is(comm.chain, undefined);
    const { isChosen, reason } = messagesOf(group.chains[rank]!);
    assert.not(isChosen);
    assert.match(reason, /^rank 0: cuIpcOpenMemHandle failed/);
  }
  await group.close();
});

test('kernels that do not load on a rank ~> the same', async () => {
  const group = await openFakeNcclGroup(2, { peerMemory: 'allowed', fakeGpu: 'load=98' });
  for (const chains of group.chains) assert.match(messagesOf(chains).reason, /^rank 0: the launch failed: /);
  await group.close();
});

test('switched off, or not asked for ~> no chains, by choice; mapped ~> it is said', async () => {
  const told: string[] = [];
  for (const peerMemory of ['off', 'allowed', undefined] as const) {
    const group = await openFakeNcclGroup(2, peerMemory && { peerMemory });
    for (const [rank, comm] of group.comms.entries()) {
      const chains = group.chains[rank]!;
      const isMapped = peerMemory === 'allowed';
      assert.is(comm.chain !== undefined, isMapped);
      assert.is(chains.carrier, isMapped ? 'mapped-memory' : 'messages');
      if (!isMapped) assert.ok(messagesOf(chains).isChosen);
      assert.is(comm.bytesSent(), 0, 'coming to an agreement is no traffic of the job');
    }
    told.push(describeCarrier(group.chains[0]!));
    await group.close();
  }
  assert.equal(told, [
    'over NCCL: rank 0: switched off (LONGSCAN_PEER_MEMORY)',
    "through the neighbours' mapped memory",
    'over NCCL: its ranks were not asked to share memory',
  ]);
});

test('required of what cannot be ~> E-PEER-MEMORY, exit code 3', async () => {
  const error = await rejectionOf(
    openFakeNcclGroup(2, { peerMemory: 'required', fakeGpu: 'ipc=none' }) as Promise<unknown>,
  );
  assert.is(error.code, 'E-PEER-MEMORY');
  assert.is(error.exitCode, 3);
  assert.match(error.message, /sp rank \d of 2: .*rank 0: cuIpcOpenMemHandle failed.*Fix: /);
});

test('abort frees the GPU of the waiting rank, and its neighbours fail at once, naming it', async () => {
  const group = await openFakeNcclGroup(4, { peerMemory: 'allowed' });
  const [, second, third, last] = group.comms;
  // The first one never comes.
  for (const comm of [second!, third!, last!]) startChain(comm);
  second!.abort('out of luck');
  const aborted = await failureIn(second!);
  assert.is(aborted.code, 'E-COMM-ABORT');
  assert.match(aborted.message, /sp rank 1 of 4 was aborted: out of luck/);
  for (const [comm, lost] of [
    [third!, 1],
    [last!, 2],
  ] as const) {
    const error = await failureIn(comm);
    assert.is(error.code, 'E-COMM-PEER');
    assert.match(error.message, new RegExp(`rank ${lost} is gone in a chain of 32 bytes \\(collective 1\\)`));
  }
  await group.close();
});

test('a rank that aborts outside of a chain frees those that wait for it', async () => {
  const group = await openFakeNcclGroup(2, { peerMemory: 'allowed' });
  startChain(group.comms[0]!, -1);
  group.comms[1]!.abort('a failure elsewhere');
  const error = await failureIn(group.comms[0]!);
  assert.is(error.code, 'E-COMM-PEER');
  assert.match(error.message, /sp rank 0 of 2: rank 1 is gone in a chain/);
  await group.close();
});

test('a rank that does nothing runs its neighbour into the deadline', async () => {
  const group = await openFakeNcclGroup(2, { peerMemory: 'allowed', timeoutMs: 100 });
  startChain(group.comms[1]!);
  const late = await failureIn(group.comms[1]!);
  assert.is(late.code, 'E-COMM-DEADLINE');
  assert.match(late.message, /sp rank 1 of 2: the deadline passed in a chain of 32 bytes \(collective 1\)/);
  await group.close();
});

test('a state where none enters, and the other way round, is refused at the call', async () => {
  const group = await openFakeNcclGroup(2, { peerMemory: 'allowed' });
  const [first] = group.comms;
  const { device } = first!.stream;
  const state = fromArray(device, new Float32Array(8), [1, 1, 2, 4]);
  const segment = { kind: 'identity', state, factor: null, reset: null } as const;
  for (const [incoming, step] of [
    [empty(device, state.shape), 1],
    [null, -1],
    [empty(device, [4]), -1],
  ] as const)
    assert.is(failureOf(() => first!.chain!(segment, incoming, step)).code, 'E-ARGUMENT');
  await group.close();
});

test('LONGSCAN_PEER_MEMORY ~> three words, and nothing else', () => {
  assert.is(peerMemoryFromEnv({}), 'allowed');
  assert.is(peerMemoryFromEnv({ LONGSCAN_PEER_MEMORY: 'off' }), 'off');
  const error = failureOf(() => peerMemoryFromEnv({ LONGSCAN_PEER_MEMORY: 'of' }));
  assert.is(error.code, 'E-PEER-MEMORY');
  assert.is(error.exitCode, 2);
  assert.match(error.message, /"of", expected off, allowed, required/);
});

test.run();
