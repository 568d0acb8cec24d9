import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';

/** Address of the namespace in the middle, where relay and bridge are. */
export const hubAddress = '10.77.0.254';

export function addressOf(rank: number): string {
  return `10.77.0.${rank + 1}`;
}

/** In the namespace in the middle: a bridge that the ranks' cables end at. */
export function makeHub(): void {
  useReno();
  ip('link add hub type bridge');
  ip(`addr add ${hubAddress}/24 dev hub`);
  ip('link set hub up');
}

/** In the middle: a cable to the namespace of a process. */
export function plugIn(rank: number, pid: number): void {
  ip(`link add ${portOf(rank)} type veth peer name eth0 netns ${pid}`);
  ip(`link set ${portOf(rank)} master hub up`);
}

/** In the namespace of a rank whose cable is there. */
export function bringUp(rank: number): void {
  useReno();
  ip('link set lo up');
  ip(`addr add ${addressOf(rank)}/24 dev eth0`);
  ip('link set eth0 up');
}

/** In the middle: how fast a rank can receive. */
export function limitArrivals(rank: number, mbitPerS: number | null): void {
  limit(portOf(rank), mbitPerS);
}

/** In the namespace of a rank: how fast it can send. */
export function limitDepartures(mbitPerS: number | null): void {
  limit('eth0', mbitPerS);
}

function limit(device: string, mbitPerS: number | null): void {
  // A burst of one packet: nothing is sent ahead of the rate. The limit is more than all senders can have under way.
  const rule = `rate ${mbitPerS}mbit burst 1700 limit 64mb`;
  if (mbitPerS === null) execFileSync('tc', ['qdisc', 'replace', 'dev', device, 'root', 'pfifo_fast']);
  else execFileSync('tc', `qdisc replace dev ${device} root tbf ${rule}`.split(' '));
}

function portOf(rank: number): string {
  return `rank${rank}`;
}

/** Congestion control that does not pace or probe by itself: nothing is ever lost here. */
function useReno(): void {
  writeFileSync('/proc/sys/net/ipv4/tcp_congestion_control', 'reno');
  writeFileSync('/proc/sys/net/ipv4/tcp_slow_start_after_idle', '0');
}

function ip(command: string): void {
  execFileSync('ip', command.split(' '), { stdio: ['ignore', 'inherit', 'inherit'] });
}
