import { type Communicator, empty, fill, fromArray } from '@longscan/kernels';
import { burstLength, type CollectiveCase } from '../../protocol/collectives.js';
import { expectValues } from './expect-values.js';
import { callsFor, describeCase, type MeasuredCase } from './measured-case.js';
import { patternOf } from './pattern.js';

/** Messages between two ranks of a group; the others stand by. */
export interface Pair {
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

/** A message there and the same one back, `numCalls` times a sample: what comes back shows that both ways are sound. */
export function sendRecvCase(
  group: Communicator,
  pair: Pair,
  bytes: number,
  numCalls = callsFor(bytes),
): MeasuredCase {
  return thereAndBack('send-recv', 1, group, pair, bytes, numCalls);
}

/**
 * A run of messages there, and when the last one has arrived as many back: the way of a state in blocks. The receiver waits
 * for them already, so none are gathered on the way.
 */
export function burstCase(
  group: Communicator,
  pair: Pair,
  bytes: number,
  numCalls = callsFor(burstLength * bytes, 25),
): MeasuredCase {
  return thereAndBack('burst', burstLength, group, pair, bytes, numCalls);
}

function thereAndBack(
  op: 'send-recv' | 'burst',
  numMessages: number,
  group: Communicator,
  { from, to, link }: Pair,
  bytes: number,
  numCalls: number,
): MeasuredCase {
  const { rank, stream } = group;
  const { device } = stream;
  const what: CollectiveCase = { op, bytes, link, ...notOfScan };
  const peer = rank === from ? to : rank === to ? from : null;
  const expected = patternOf(from, bytes / 4);
  const sent = rank === from ? fromArray(device, expected, [bytes / 4]) : null;
  const arrived = peer === null ? null : empty(device, [bytes / 4]);
  const repeat = (body: () => void) => {
    for (let i = 0; i < numMessages; i++) body();
  };
  return {
    ...{ what, numCalls, numOps: 2 * numMessages * numCalls, isTimed: rank === from },
    prepare() {
      if (arrived !== null) fill(arrived, Number.NaN);
    },
    enqueue(start) {
      start();
      if (arrived === null || peer === null) return;
      for (let i = 0; i < numCalls; i++) {
        if (sent !== null) repeat(() => group.send(sent, peer));
        repeat(() => group.recv(arrived, peer));
        if (sent === null) repeat(() => group.send(arrived, peer));
      }
    },
    async check() {
      if (arrived !== null) await expectValues(describeCase(what, group), arrived, stream, expected);
    },
    release() {
      sent?.release();
      arrived?.release();
    },
  };
}
