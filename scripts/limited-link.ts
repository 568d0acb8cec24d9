import { execFileSync, spawnSync } from 'node:child_process';

/** Set in the environment of the process that `runAlone` starts. */
const mark = 'LONGSCAN_LINK_NAMESPACE';

/** Whether this process has a network of its own, whose loopback it may limit. */
export function isAlone(): boolean {
  return process.env[mark] === '1';
}

/**
 * Runs this program again in a network namespace of its own, with a loopback that sends packets of 1500 bytes as a wire
 * does. Returns its exit status. Needs `unshare` and `ip`, and user namespaces that the system permits, or root.
 */
export function runAlone(): number {
  const program = [process.execPath, ...process.argv.slice(1)];
  const setUp = 'ip link set lo up mtu 1500 && exec "$@"';
  const { status, error } = spawnSync(
    'unshare',
    ['--map-root-user', '--net', 'sh', '-c', setUp, 'sh', ...program],
    { stdio: 'inherit', env: { ...process.env, [mark]: '1' } },
  );
  if (error !== undefined) throw error;
  return status ?? 1;
}

/**
 * Gives each direction of the TCP connection that has `port` at one end a link of so many bytes a second; everything else
 * on the loopback stays as fast as it is.
 */
export function limitConnection(port: number, bytesPerS: number): void {
  freeAll();
  // The classes only tell the directions apart; what limits is the filter in each, which cuts large segments into packets.
  const fast = 'htb rate 40gbit quantum 60000';
  tc('qdisc add dev lo root handle 1: htb default 1');
  tc(`class add dev lo parent 1: classid 1:1 ${fast}`);
  for (const [direction, end] of [
    [2, 'sport'],
    [3, 'dport'],
  ] as const) {
    tc(`class add dev lo parent 1: classid 1:${direction} ${fast}`);
    // A burst of one packet: nothing is sent ahead of the rate.
    const rate = `${Math.round(8 * bytesPerS)}bit`;
    tc(`qdisc add dev lo parent 1:${direction} tbf rate ${rate} burst 1700 limit 4mb`);
    tc(`filter add dev lo parent 1: protocol ip u32 match ip ${end} ${port} 0xffff flowid 1:${direction}`);
  }
}

/** Every connection is as fast as the loopback again. */
export function freeAll(): void {
  spawnSync('tc', ['qdisc', 'del', 'dev', 'lo', 'root'], { stdio: 'ignore' });
}

function tc(command: string): void {
  execFileSync('tc', command.split(' '), { stdio: ['ignore', 'inherit', 'inherit'] });
}

export interface Connection {
  /** Of the end that dialled, which no other connection has. */
  readonly port: number;
  readonly bytesMoved: number;
}

/** The TCP connections between two processes of this namespace, with the bytes that they have carried so far. */
export function connectionsBetween(pids: readonly [number, number]): Connection[] {
  const lines = execFileSync('ss', ['-tinpOH', 'state', 'established'], { encoding: 'utf8' }).split('\n');
  const ends = lines.flatMap((line) => {
    const ports = [...line.matchAll(/127\.0\.0\.1:(\d+)/g)].map(([, port]) => Number(port));
    const pid = Number(/pid=(\d+)/.exec(line)?.[1]);
    const moved = ['bytes_sent', 'bytes_received'].map((key) =>
      Number(new RegExp(`${key}:(\\d+)`).exec(line)?.[1] ?? 0),
    );
    return pids.includes(pid)
      ? [{ pid, own: ports[0]!, other: ports[1]!, moved: moved[0]! + moved[1]! }]
      : [];
  });
  // A listener serves several connections, so the end whose port is used once dialled.
  const uses = (port: number) => ends.filter(({ own }) => own === port).length;
  return ends
    .filter(({ pid, own, other }) =>
      ends.some((end) => end.own === other && end.other === own && end.pid !== pid),
    )
    .filter(({ own, other }) => uses(own) === 1 && uses(other) > 1)
    .map(({ own, moved }) => ({ port: own, bytesMoved: moved }));
}
