import {
  applyTransition,
  type Communicator,
  composeTransitions,
  connectTcp,
  type Device,
  fromArray,
  type Listener,
  openCpuDevice,
  openListener,
  type Tensor,
} from '@longscan/kernels';
import type { PendingState, Strategy } from '@longscan/worker';
import { bytesPerHead, type Candidate, type Cell, headSize } from './cells.js';
import { addressOf, bringUp, limitDepartures } from './network.js';

type Segment = Parameters<Strategy['start']>[0];

export interface GroupOrders {
  readonly axis: string;
  readonly rank: number;
  readonly addresses: readonly { readonly host: string; readonly port: number }[];
}

export interface ScanOrders extends Candidate, Pick<Cell, 'stateBytes' | 'transition'> {
  readonly axis: string;
  /** Scans, forward and in reverse by turns, so that each begins where the one before ended. */
  readonly numScans: number;
}

/** Messages between pairs of neighbouring ranks. */
export interface MessageOrders {
  readonly axis: string;
  readonly kind: 'there and back' | 'one after the other' | 'both ways';
  readonly bytes: number;
  readonly numMessages: number;
}

const device: Device = openCpuDevice({ threads: 1 });
const groups = new Map<string, Communicator>();
let listener: Listener | null = null;
const segments = new Map<string, Segment>();

/** What the grid can ask of a rank: one rank in a process and a network of its own. Times are seconds of this rank. */
export const calls = {
  greet(): void {},

  open(rank: number): number {
    bringUp(rank);
    listener = openListener(addressOf(rank));
    return listener.port;
  },

  async connect({ axis, rank, addresses }: GroupOrders): Promise<void> {
    const group = { jobId: 'planner-grid', axis, token: 'the token of this script', epoch: 1 };
    const options = { ...group, device, listener: listener!, rank, addresses, timeoutMs: 60_000 };
    groups.set(axis, await connectTcp(options));
  },

  limit: limitDepartures,

  async scan(orders: ScanOrders, startAt: number): Promise<number> {
    const { axis, numScans, options } = orders;
    const strategy = await loadStrategy(orders.strategy);
    const local = await segmentOf(orders);
    const group = groups.get(axis)!;
    return timed(startAt, group, () => {
      for (let i = 0; i < numScans; i++) {
        device.scope(() => {
          const pending: PendingState = strategy.start(
            local,
            group,
            i % 2 === 0 ? 'forward' : 'reverse',
            options,
          );
          pending.wait();
        });
      }
    });
  },

  async messages({ axis, kind, bytes, numMessages }: MessageOrders, startAt: number): Promise<number> {
    const group = groups.get(axis)!;
    const peer = group.rank ^ 1;
    const [sent, received] = [0, 0].map(() => buffer(bytes));
    await device.compute.sync();
    const isFirst = group.rank < peer;
    const seconds = await timed(startAt, group, () => {
      for (let i = 0; i < numMessages; i++) {
        if (kind === 'both ways') group.exchange([{ tensor: sent!, peer }], [{ tensor: received!, peer }]);
        if (kind === 'one after the other' && isFirst) group.send(sent!, peer);
        if (kind === 'one after the other' && !isFirst) group.recv(received!, peer);
        if (kind !== 'there and back') continue;
        if (isFirst) group.send(sent!, peer);
        group.recv(received!, peer);
        if (!isFirst) group.send(sent!, peer);
      }
    });
    for (const tensor of [sent, received]) tensor!.release();
    return seconds;
  },

  /** Of one application of M to a state, and of one composition of two segments. */
  async combine(orders: Pick<Cell, 'stateBytes' | 'transition'>, startAt: number): Promise<[number, number]> {
    const local = await segmentOf(orders);
    const rows = { begin: 0, end: local.state.size / headSize };
    const numTimes = Math.max(4, Math.ceil((8 << 20) / orders.stateBytes));
    const out = buffer(orders.stateBytes).view(local.state.shape);
    const applied = await timed(startAt, null, () => {
      for (let i = 0; i < numTimes; i++) applyTransition(local, out, out, rows, device.compute);
    });
    const composed = await timed(0, null, () => {
      for (let i = 0; i < numTimes; i++) {
        device.scope(() => void composeTransitions(local, local, device.compute));
      }
    });
    return [applied / numTimes, composed / numTimes];
  },
};

async function loadStrategy(name: string): Promise<Strategy> {
  return (await import(new URL(`sp/${name}.js`, import.meta.resolve('@longscan/worker')).href)).default;
}

async function segmentOf({ stateBytes, transition }: Pick<Cell, 'stateBytes' | 'transition'>) {
  const key = `${stateBytes} ${transition}`;
  const known = segments.get(key);
  if (known !== undefined) return known;
  const numHeads = stateBytes / bytesPerHead;
  const perHead = transition === 'dense' ? headSize * headSize : headSize;
  const filled = (value: number, shape: readonly number[]) =>
    fromArray(device, new Float32Array(shape.reduce((a, b) => a * b)).fill(value), shape);
  const segment: Segment = {
    state: filled(0.5, [1, numHeads, headSize, headSize]),
    kind: transition,
    factor: filled(transition === 'dense' ? 0.5 / headSize : 0.5, [1, numHeads, perHead]),
    reset: null,
    transposed: false,
  };
  await device.compute.sync();
  segments.set(key, segment);
  return segment;
}

function buffer(bytes: number): Tensor {
  return fromArray(device, new Float32Array(bytes / 4), [bytes / 4]);
}

/** Seconds from `startAt` (of the clock that all processes share) until what `body` enqueues is done. */
async function timed(startAt: number, group: Communicator | null, body: () => void): Promise<number> {
  const left = startAt - now();
  if (left > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000 * left);
  const start = Math.max(startAt, startAt === 0 ? now() : startAt);
  body();
  if (group !== null) device.compute.wait(group.stream.record());
  await device.compute.sync();
  return now() - start;
}

function now(): number {
  return Number(process.hrtime.bigint()) / 1e9;
}

process.on('disconnect', () => process.exit()); // the grid has ended
process.on('message', async ({ call, args }: { call: keyof typeof calls; args: unknown[] }) => {
  try {
    const body = calls[call] as (...args: unknown[]) => unknown;
    process.send!({ result: (await body(...args)) ?? null });
  } catch (error) {
    process.send!({ error: String(error) });
  }
});
