import { connectTcp, LongscanError, openCpuDevice, openListener } from '@longscan/kernels';
import type { Direction, Strategy } from '../../strategy.js';
import { startBeforeBarrier } from '../strategy/failures.js';
import { importUnits } from '../unit-files.js';

/** What the test tells a rank process, once it knows every port. */
export interface ScanOrders {
  readonly rank: number;
  readonly ports: readonly number[];
  readonly timeoutMs: number;
  /** Connects like the others, and takes part in no scan. */
  readonly isIdle: boolean;
}

export interface ScanFailure {
  readonly strategy: string;
  readonly direction: Direction;
  readonly code: string;
  readonly message: string;
}

/** What a rank process tells the test. */
export type ScanNews =
  | { readonly kind: 'listening'; readonly port: number }
  | { readonly kind: 'started' }
  | { readonly kind: 'failed'; readonly failures: readonly ScanFailure[] };

// One rank in a process of its own, started by `fork`: a scan of every strategy in both directions, each on a device and
// a group of its own, and how they fail.

const tell = (news: ScanNews) => process.send!(news);
const listener = openListener('127.0.0.1');
process.on('disconnect', () => process.exit()); // the test has ended
process.on('message', (orders: ScanOrders) => void runScans(orders));
tell({ kind: 'listening', port: listener.port });

async function runScans({ isIdle, ...orders }: ScanOrders): Promise<void> {
  const strategies = [...(await importUnits<Strategy>(new URL('../../sp/', import.meta.url))).values()];
  const scans = strategies.flatMap((strategy) =>
    (['forward', 'reverse'] as const).map((direction) => ({ strategy, direction })),
  );
  const groups = await Promise.all(
    scans.map(({ strategy, direction }) => connect(`${strategy.name} ${direction}`, orders)),
  );
  if (!isIdle) {
    for (const [i, { strategy, direction }] of scans.entries()) {
      startBeforeBarrier(strategy, groups[i]!, direction);
    }
  }
  tell({ kind: 'started' });
  if (isIdle) return;
  const failures = await Promise.all(
    scans.map(async ({ strategy: { name }, direction }, i): Promise<ScanFailure> => {
      const error = await groups[i]!.stream.device.compute.sync().catch((reason: unknown) => reason);
      const { code, message } =
        error instanceof LongscanError ? error : { code: 'none', message: `${error}` };
      return { strategy: name, direction, code, message };
    }),
  );
  tell({ kind: 'failed', failures });
}

function connect(axis: string, { rank, ports, timeoutMs }: Omit<ScanOrders, 'isIdle'>) {
  return connectTcp({
    ...{ device: openCpuDevice({ poison: true }), listener, rank, timeoutMs, axis },
    ...{ jobId: 'killed ranks', token: 'a token for the checks', epoch: 1 },
    addresses: ports.map((port) => ({ host: '127.0.0.1', port })),
  });
}
