import { type Communicator, empty, fill, fromArray } from '@longscan/kernels';
import type { CollectiveCase } from '../../protocol/collectives.js';
import { expectValues } from './expect-values.js';
import { callsFor, describeCase, type MeasuredCase } from './measured-case.js';
import { patternOf } from './pattern.js';

/** Messages between two ranks of a group; the others stand by. */
interface Pair {
  readonly from: number;
  readonly to: number;
  readonly link: 'inside' | 'between';
}

const notOfScan = {
  ...{ strategy: null, blocks: null, ranksPerNode: null },
  ...{ transition: null, transitionBytes: null, stateRows: null },
} as const;

/** The pairs that show a group's links: the first rank with the next one, and with the first one of the next node. */
export function pairsOf(numRanks: number, ranksPerNode: number): Pair[] {
  const inside: Pair = { from: 0, to: 1, link: 'inside' };
  // With one rank a node all links are between nodes, and so alike.
  if (ranksPerNode === 1 || ranksPerNode >= numRanks) return [inside];
  return [inside, { from: 0, to: ranksPerNode, link: 'between' }];
}

/** A message there and the same one back: what comes back shows that both ways are sound. */
export function sendRecvCase(group: Communicator, { from, to, link }: Pair, bytes: number): MeasuredCase {
  const { device } = group.stream;
  const what: CollectiveCase = { op: 'send-recv', bytes, link, ...notOfScan };
  const isMember = group.rank === from || group.rank === to;
  const expected = patternOf(from, bytes / 4);
  const sent = group.rank === from ? fromArray(device, expected, [bytes / 4]) : null;
  const arrived = isMember ? empty(device, [bytes / 4]) : null;
  const numCalls = callsFor(bytes);
  return {
    ...{ what, numCalls, numOps: 2 * numCalls, isTimed: group.rank === from },
    prepare() {
      if (arrived !== null) fill(arrived, Number.NaN);
    },
    enqueue(start) {
      start();
      if (arrived === null) return;
      for (let i = 0; i < numCalls; i++) {
        if (sent !== null) group.send(sent, to);
        group.recv(arrived, sent === null ? from : to);
        if (sent === null) group.send(arrived, from);
      }
    },
    async check() {
      if (arrived !== null) await expectValues(describeCase(what, group), arrived, group.stream, expected);
    },
    release() {
      sent?.release();
      arrived?.release();
    },
  };
}

/**
 * Many messages one way, as the receiver sees them: timed from the arrival of the first one, so that what is left is the time
 * from one message to the next.
 */
export function burstCase(group: Communicator, { from, to, link }: Pair, bytes: number): MeasuredCase {
  const { device } = group.stream;
  const what: CollectiveCase = { op: 'burst', bytes, link, ...notOfScan };
  const expected = patternOf(from, bytes / 4);
  const sent = group.rank === from ? fromArray(device, expected, [bytes / 4]) : null;
  const arrived = group.rank === to ? empty(device, [bytes / 4]) : null;
  const numCalls = Math.max(8, callsFor(bytes, 200));
  return {
    ...{ what, numCalls, numOps: numCalls, isTimed: group.rank === to },
    prepare() {
      if (arrived !== null) fill(arrived, Number.NaN);
    },
    enqueue(start) {
      for (let i = 0; i <= numCalls; i++) {
        if (sent !== null) group.send(sent, to);
        if (arrived !== null) group.recv(arrived, from);
        if (i === 0) start();
      }
    },
    async check() {
      if (arrived !== null) await expectValues(describeCase(what, group), arrived, group.stream, expected);
    },
    release() {
      sent?.release();
      arrived?.release();
    },
  };
}
