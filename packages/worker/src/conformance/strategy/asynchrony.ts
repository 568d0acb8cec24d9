import type { Strategy } from '../../strategy.js';
import { blockUntil } from '../block-until.js';
import { type Check, demand } from '../check.js';
import { defaultTimeoutMs, type RankSet, type RankSetOptions, withRanks } from '../rank-set.js';
import { expectFold } from './scan.js';
import { hostSegments, type ScanCase, upload } from './scan-case.js';

/** Of every check here. */
export const numRanks = 4;
const directions = ['forward', 'reverse'] as const;
const base = {
  numRanks,
  ranksPerNode: 2,
  kind: 'diagonal',
  dtype: 'f32',
  blocks: 4,
  starts: null,
  shape: [2, 2, 8, 4],
} as const;

/**
 * Nothing here depends on the machine's speed: a held stream is held for good. A strategy that holds compute is only
 * found out when `timeoutMs` have passed.
 */
export function asynchronyChecks(strategy: Strategy, timeoutMs = defaultTimeoutMs): Check[] {
  return [
    ...blockedHostChecks(strategy),
    ...directions.map((direction) => ({
      name: `compute goes on while the scan waits for a peer: ${direction}`,
      run: () => checkOverlap(strategy, { ...base, direction, seed: 5 }, timeoutMs),
    })),
  ];
}

/** Of them those that a rank can make by itself while the others do the same. */
export function blockedHostChecks(strategy: Strategy, engine?: RankSetOptions['engine']): Check[] {
  return directions.map((direction) => ({
    name: `start returns while compute is held, and the scan ends while JavaScript is blocked: ${direction}`,
    run: () => checkBlockedHost(strategy, { ...base, direction, seed: 5 }, engine),
  }));
}

function checkBlockedHost(
  strategy: Strategy,
  scan: ScanCase,
  engine: RankSetOptions['engine'] = 'in-process',
): Promise<void> {
  const body = async (ranks: RankSet) => {
    const openGates = ranks.devices.map((device) => device.compute.closeGate());
    const segments = hostSegments(scan);
    const pending = ranks.communicators.map((communicator) => {
      const { rank, stream } = communicator;
      // Not in a scope: `wait` is called after the scan has ended, which scopes of a training step do not do.
      const local = upload(stream.device, scan, segments[rank]!);
      return { rank, scanned: strategy.start(local, communicator, scan.direction, scan) };
    });
    for (const { stream, rank } of ranks.communicators) {
      demand(!stream.isIdle(), `rank ${rank}: the scan did not wait for the segment that compute makes`);
    }
    for (const openGate of openGates) openGate();
    blockUntil('the scan', () => ranks.communicators.every(({ stream }) => stream.isIdle()));
    await expectFold(
      scan,
      pending.map(({ rank, scanned }) => ({ rank, tensor: scanned.wait() })),
    );
  };
  return withRanks(numRanks, body, { engine });
}

/** All ranks but the first of the scan have started it; their compute streams must still run. */
function checkOverlap(strategy: Strategy, scan: ScanCase, timeoutMs: number): Promise<void> {
  const body = async (ranks: RankSet) => {
    const first = scan.direction === 'forward' ? 0 : numRanks - 1;
    const segments = hostSegments(scan);
    const start = (rank: number) => {
      const local = upload(ranks.devices[rank]!, scan, segments[rank]!);
      return strategy.start(local, ranks.communicators[rank]!, scan.direction, scan);
    };
    const last = numRanks - 1 - first;
    const ranksBut = ranks.communicators.map(({ rank }) => rank).filter((rank) => rank !== first);
    const others = ranksBut.map((rank) => ({ rank, pending: start(rank) }));
    await Promise.all(others.map(({ rank }) => ranks.devices[rank]!.compute.sync()));
    demand(!ranks.communicators[last]!.stream.isIdle(), 'the last rank did not wait for the first');
    const entered = others.map(({ rank, pending }) => ({ rank, tensor: pending.wait() }));
    demand(!ranks.devices[last]!.compute.isIdle(), 'wait() did not order compute after the scan');
    entered.push({ rank: first, tensor: start(first).wait() });
    await expectFold(scan, entered);
  };
  return withRanks(numRanks, body, { timeoutMs });
}
