import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Machine } from './machine.js';
import type { Instruction, Program, SimulatedMessage } from './program.js';
import { type Span, simulate } from './simulate.js';

const ms = 1e-3;
/** 1 ms away, 0.1 ms between messages, 1 byte a microsecond; no two ranks slow each other down. */
const apart: Machine = {
  fabric: { latencyS: 1 * ms, gapS: 0.1 * ms, bandwidthBytesPerS: 1e6 },
  ranksAtOnce: null,
  slowdown: [1],
  coresPerMessage: 0,
};
const [compute, comm] = [0, 1];

type Placed = Instruction & { readonly stream: number };

const busy = (stream: number, milliseconds: number): Placed => ({
  kind: 'busy',
  stream,
  seconds: milliseconds * ms,
});
const record = (stream: number, event: number): Placed => ({ kind: 'record', stream, event });
const wait = (stream: number, event: number): Placed => ({ kind: 'wait', stream, event });
const exchange = (
  sends: readonly SimulatedMessage[],
  recvs: readonly SimulatedMessage[],
  channel = 'sp-0',
): Placed => ({ kind: 'exchange', stream: comm, channel, sends, recvs });
const send = (peer: number, bytes: number) => exchange([{ peer, bytes }], []);
const recv = (peer: number, bytes: number) => exchange([], [{ peer, bytes }]);
const program = (...placed: Placed[]): Program => ({
  streams: ['compute', 'sp'].map((name, i) => ({
    name,
    instructions: placed.filter(({ stream }) => stream === i),
  })),
});

const near = (found: number, milliseconds: number) =>
  assert.ok(Math.abs(found / ms - milliseconds) < 1e-9, `${found / ms} ms, not ${milliseconds}`);
const take = (programs: readonly Program[], milliseconds: number, machine = apart) => {
  const result = simulate(programs, machine);
  near(result.seconds, milliseconds);
  return result;
};

test('streams ~> work of one follows itself, two run beside each other, events order them', () => {
  take([program(busy(compute, 1), busy(compute, 2))], 3);
  take([program(busy(compute, 1), busy(comm, 2))], 2);
  const [rank] = take(
    [program(busy(comm, 2), record(comm, 0), busy(compute, 1), wait(compute, 0), busy(compute, 3))],
    5,
  ).ranks;
  near(rank!.busyS, 4);
  near(rank!.stoodStillS.sp!, 1);
});

test('messages ~> latency and transfer; a late receiver finds what has come', () => {
  take([program(send(1, 3000)), program(recv(0, 3000))], 4);
  // The sender is through when the bytes have left.
  take([program(send(1, 3000), busy(comm, 5)), program(recv(0, 3000))], 8);
  const late = program(busy(comm, 6), recv(0, 3000), busy(comm, 1));
  assert.is(take([program(send(1, 3000)), late], 7).ranks[0]!.bytesSent, 3000);
});

test('communication ~> hidden behind computation as far as that goes', () => {
  const sender = program(send(1, 3000));
  const receiver = (milliseconds: number) =>
    program(recv(0, 3000), record(comm, 7), busy(compute, milliseconds), wait(compute, 7), busy(compute, 1));
  assert.equal(take([sender, receiver(4.5)], 5.5).ranks[1]!.stoodStillS, {});
  near(take([sender, receiver(1)], 5).ranks[1]!.stoodStillS.sp!, 3);
});

test('a port ~> one message after the other, at least a gap apart', () => {
  const two = (bytes: number) => [
    program(send(1, bytes), send(1, bytes)),
    program(recv(0, bytes), recv(0, bytes)),
  ];
  take(two(1000), 1 + 1 + 1); // by bandwidth
  take(two(10), 1 + 0.1 + 0.01); // by the gap
});

test('ports ~> both directions at once; two senders wait for one receiver', () => {
  const both = (peer: number) => program(exchange([{ peer, bytes: 2000 }], [{ peer, bytes: 2000 }]));
  take([both(1), both(0)], 3);
  const gather = exchange(
    [],
    [
      { peer: 0, bytes: 2000 },
      { peer: 1, bytes: 2000 },
    ],
  );
  take([program(send(2, 2000)), program(send(2, 2000)), program(gather)], 1 + 2 + 2);
});

test('channels ~> messages of one do not wait for another', () => {
  const [a, b] = [
    { peer: 1, bytes: 10 },
    { peer: 1, bytes: 20 },
  ];
  const sender = program(exchange([a], [], 'x'), exchange([b], [], 'y'));
  const receiver = program(
    exchange([], [{ peer: 0, bytes: 20 }], 'y'),
    exchange([], [{ peer: 0, bytes: 10 }], 'x'),
  );
  take([sender, receiver], 1 + 0.1 + 0.02);
});

test('overhead ~> a core of either end has a message before it leaves and after it has come', () => {
  const costly = { ...apart, overheadS: 0.5 * ms };
  take([program(send(1, 3000)), program(recv(0, 3000))], 5, costly);
  // On one core: two to send at once, then two to receive.
  const ranks = [
    program(send(1, 1000)),
    program(recv(0, 1000)),
    program(send(3, 1000)),
    program(recv(2, 1000)),
  ];
  take(ranks, 4, { ...costly, ranksAtOnce: 1 });
});

test('nodes ~> what crosses them takes the other link', () => {
  const between = { latencyS: 5 * ms, gapS: 0.1 * ms, bandwidthBytesPerS: 0.5e6 };
  const machine: Machine = { ...apart, fabric: { ...apart.fabric, nodes: { ranksPerNode: 2, between } } };
  const idle = program();
  take([program(send(1, 1000)), program(recv(0, 1000)), idle, idle], 2, machine);
  take([idle, program(send(2, 1000)), program(recv(1, 1000)), idle], 7, machine);
});

test('cores ~> shared by those that compute, and caches too', () => {
  const machine = (ranksAtOnce: number, slowdown: number[]): Machine => ({ ...apart, ranksAtOnce, slowdown });
  const work = (milliseconds: number) => program(busy(compute, milliseconds));
  take([work(2), work(2)], 2, machine(2, [1, 1]));
  take([work(2), work(2)], 3, machine(2, [1, 1.5]));
  // Three on two cores: 2/3 of the speed until the two short ones are through at 1.5, then 1 ms alone.
  take([work(1), work(1), work(2)], 2.5, machine(2, [1, 1]));
  // Three at 1/2 of the speed: 1.5 * 2; then 1 ms of the last at full speed.
  take([work(1), work(1), work(2)], 3, machine(2, [1, 4 / 3]));
});

test('cores ~> taken by messages that they copy', () => {
  const machine: Machine = { ...apart, ranksAtOnce: 1, coresPerMessage: 1 };
  // 1 ms of transfer and 3 ms of work share the core: the message is through at 2, the work at 4.
  take([program(busy(compute, 3), send(1, 1000)), program(recv(0, 1000))], 4, machine);
  take([program(busy(compute, 3), send(1, 1000)), program(recv(0, 1000), busy(comm, 1))], 5, machine);
});

test('meetings ~> everybody leaves together, after the last has come', () => {
  const meet: Placed = {
    kind: 'meeting',
    stream: comm,
    channel: 'world',
    size: 2,
    seconds: 2 * ms,
    bytesSent: 5,
  };
  const { ranks } = take(
    [program(busy(comm, 1), meet, meet), program(meet, busy(comm, 3), meet, busy(comm, 1))],
    1 + 2 + 3 + 2 + 1,
  );
  assert.equal(
    ranks.map(({ bytesSent }) => bytesSent),
    [10, 10],
  );
});

test('ranks that wait for each other for ever ~> said who waits for what', () => {
  const message = (programs: readonly Program[]) => {
    try {
      simulate(programs, apart);
    } catch (error) {
      return (error as Error).message;
    }
    throw new Error('expected an error');
  };
  assert.match(
    message([program(recv(1, 8), send(1, 8)), program(recv(0, 8), wait(compute, 4))]),
    /E-SIMULATE.*3 streams.*rank 0's sp is in an exchange on sp-0: from rank 1 \(8 bytes\); rank 1's compute waits for event 4; rank 1's sp/,
  );
  assert.match(
    message([program(send(1, 8)), program(recv(0, 9))]),
    /rank 0 sends 8 bytes to rank 1, which expects 9/,
  );
});

test('spans ~> what each stream did when', () => {
  const spans: Span[] = [];
  simulate(
    [program(send(1, 3000), record(comm, 0), busy(compute, 1), wait(compute, 0)), program(recv(0, 3000))],
    apart,
    {
      onSpan: (span) => spans.push(span),
    },
  );
  const found = spans.map(({ rank, stream, kind, startS, endS }) => [
    rank,
    stream,
    kind,
    startS / ms,
    Math.round(endS / ms),
  ]);
  assert.equal(found, [
    [0, 'compute', 'busy', 0, 1],
    [0, 'sp', 'exchange', 0, 3],
    [0, 'compute', 'wait', 1, 3],
    [1, 'sp', 'exchange', 0, 4],
  ]);
});

test('thousands of ranks ~> a chain of blocks', () => {
  const [numRanks, numBlocks] = [4096, 16];
  const peer = (rank: number, is: boolean) => (is ? [{ peer: rank, bytes: 100 }] : []);
  const chain = (rank: number) =>
    program(
      ...Array.from({ length: numBlocks + 1 }, (_, i) =>
        exchange(peer(rank + 1, rank + 1 < numRanks && i > 0), peer(rank - 1, rank > 0 && i < numBlocks)),
      ),
    );
  take(
    Array.from({ length: numRanks }, (_, rank) => chain(rank)),
    (numRanks - 1) * 1.1 + (numBlocks - 1) * 0.1,
  );
});

test.run();
