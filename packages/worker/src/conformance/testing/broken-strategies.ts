import { type Communicator, empty } from '@longscan/kernels';
import { chainCost, chainSeconds, startChain } from '../../chain.js';
import { applySegment, numRows, type Segment } from '../../state/segment.js';
import {
  type Direction,
  defineStrategy,
  type PendingState,
  type Strategy,
  scanPlace,
} from '../../strategy.js';

type Start = (local: Segment, group: Communicator, direction: Direction) => PendingState;

/** A strategy with one thing wrong. */
export interface BrokenStrategy {
  readonly fault: string;
  readonly strategy: Strategy;
  /** Name of a check that must fail. */
  readonly noticedBy: RegExp;
}

const isExact = /equals the sequential fold exactly/;

/** The ring with one thing wrong each. */
export const brokenStrategies: readonly BrokenStrategy[] = [
  {
    fault: 'a reset is ignored',
    strategy: ring((local, ...rest) => startChain({ ...local, reset: null }, ...rest, 1)),
    noticedBy: isExact,
  },
  {
    fault: 'M is dropped',
    strategy: ring((local, ...rest) => startChain({ ...local, kind: 'identity', factor: null }, ...rest, 1)),
    noticedBy: isExact,
  },
  {
    fault: 'the reverse scan runs forward',
    strategy: ring((local, group) => startChain(local, group, 'forward', 1)),
    noticedBy: isExact,
  },
  { fault: 'a rank does not add its own segment', strategy: ring(startUncombined), noticedBy: isExact },
  {
    fault: 'it sends more than its cost says',
    strategy: ring((local, ...rest) => {
      const pending = startChain(local, ...rest, 1);
      const [group] = rest;
      group.allReduce(empty(local.state.device, [1], 'f32', group.stream));
      return pending;
    }),
    noticedBy: isExact,
  },
  {
    fault: 'it begins in wait()',
    strategy: ring((...scan) => ({ wait: () => startChain(...scan, 1).wait() })),
    noticedBy: /start returns while compute is held/,
  },
  {
    fault: 'compute is held from start() on',
    strategy: ring((...scan) => {
      const incoming = startChain(...scan, 1).wait();
      return { wait: () => incoming };
    }),
    noticedBy: /compute goes on while the scan waits/,
  },
  {
    fault: 'wait() does not order compute',
    strategy: ring(startUnordered),
    noticedBy: /compute goes on while the scan waits/,
  },
  {
    fault: 'its cost falls with the bytes',
    strategy: {
      ...ring((...scan) => startChain(...scan, 1)),
      cost: (worldSize, bytes) => chainCost(worldSize, bytes, worldSize === 1 ? 0 : 1 / (1 + bytes.state)),
    },
    noticedBy: /cost is finite/,
  },
];

function ring(start: Start): Strategy {
  return defineStrategy({
    name: 'broken',
    paper: 'https://arxiv.org/abs/2404.02882',
    cost: (worldSize, bytes, link) => chainCost(worldSize, bytes, chainSeconds(worldSize, bytes, 1, link)),
    start,
  });
}

function startUncombined(local: Segment, group: Communicator, direction: Direction): PendingState {
  const { prev, next } = scanPlace(group, direction);
  const { device, shape, dtype } = local.state;
  group.stream.wait(device.compute.record());
  const incoming = prev === null ? null : empty(device, shape, dtype, group.stream);
  if (incoming !== null) group.recv(incoming, prev!);
  if (next !== null) group.send(incoming ?? local.state, next);
  const done = group.stream.record();
  return {
    wait() {
      device.compute.wait(done);
      return incoming;
    },
  };
}

function startUnordered(local: Segment, group: Communicator, direction: Direction): PendingState {
  const { prev, next } = scanPlace(group, direction);
  const { device, shape, dtype } = local.state;
  const { stream } = group;
  stream.wait(device.compute.record());
  const incoming = prev === null ? null : empty(device, shape, dtype, stream);
  if (incoming !== null) {
    group.recv(incoming, prev!);
    applySegment(local, incoming, local.state, { begin: 0, end: numRows(incoming) }, stream);
  }
  if (next !== null) group.send(local.state, next);
  return { wait: () => incoming };
}
