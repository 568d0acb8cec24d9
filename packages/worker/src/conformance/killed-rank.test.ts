import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { ScanFailure, ScanNews, ScanOrders } from './testing/scan-process.js';

const program = fileURLToPath(new URL('./testing/scan-process.js', import.meta.url));
const numRanks = 4;
/** Far beyond what anything here takes: no error is to come from a deadline. */
const timeoutMs = 200_000;

/** The next news of a kind from a process; fails if it ends first. */
function news<K extends ScanNews['kind']>(child: ChildProcess, kind: K) {
  return new Promise<Extract<ScanNews, { kind: K }>>((resolve, reject) => {
    child.on('message', (message: ScanNews) => {
      if (message.kind === kind) resolve(message as Extract<ScanNews, { kind: K }>);
    });
    child.on('exit', (code, signal) => reject(new Error(`a rank ended before "${kind}": ${code ?? signal}`)));
  });
}

/** How the scans of the others end, by rank, once `victim`, whom they wait for, is killed. */
async function failuresWithout(victim: number): Promise<Map<number, readonly ScanFailure[]>> {
  const children = Array.from({ length: numRanks }, () => fork(program, { execArgv: [] }));
  const killAll = () => {
    for (const child of children) child.kill('SIGKILL');
  };
  const timer = setTimeout(killAll, timeoutMs - 5000);
  try {
    const listening = await Promise.all(children.map((child) => news(child, 'listening')));
    const ports = listening.map(({ port }) => port);
    const started = children.map((child) => news(child, 'started'));
    children.forEach((child, rank) => {
      const orders: ScanOrders = { rank, ports, timeoutMs, isIdle: rank === victim };
      child.send(orders);
    });
    await Promise.all(started);
    const others = children.flatMap((child, rank) => (rank === victim ? [] : [{ child, rank }]));
    const ends = others.map(({ child, rank }) =>
      news(child, 'failed').then(({ failures }) => [rank, failures] as const),
    );
    children[victim]!.kill('SIGKILL');
    return new Map(await Promise.all(ends));
  } finally {
    clearTimeout(timer);
    killAll();
  }
}

for (let victim = 0; victim < numRanks; victim++) {
  test(`SIGKILL of rank ${victim} of ${numRanks} ~> the others fail naming a peer, in every strategy and direction`, async () => {
    const byRank = await failuresWithout(victim);
    const named = new Map<string, boolean>();
    for (const [rank, failures] of byRank) {
      assert.ok(failures.length >= 2, 'there are strategies');
      for (const { strategy, direction, code, message } of failures) {
        const scan = `${strategy} ${direction}`;
        assert.is(code, 'E-COMM-PEER', `${scan}, rank ${rank}: ${message}`);
        assert.match(message, new RegExp(`rank ${rank} of ${numRanks}: rank [0-3] is gone`));
        named.set(scan, (named.get(scan) ?? false) || message.includes(`rank ${victim} is gone`));
      }
    }
    for (const [scan, isNamed] of named) assert.ok(isNamed, `${scan}: nobody names rank ${victim}`);
  });
}

test.run();
