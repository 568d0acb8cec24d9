import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { HeartbeatMonitor } from './heartbeat-monitor.js';

/** Ticks every 500 ms from `fromMs` and returns the ranks found silent, with the time. */
function tick(monitor: HeartbeatMonitor, fromMs: number, toMs: number): string[] {
  const found: string[] = [];
  for (let now = fromMs; now <= toMs; now += 500) {
    for (const { rank, silentMs } of monitor.silentRanks(now)) found.push(`${now}: ${rank} for ${silentMs}`);
  }
  return found;
}

test('a rank is silent after the timeout and not before', () => {
  const monitor = new HeartbeatMonitor(5000, 2000);
  monitor.seen(0, 0);
  assert.equal(tick(monitor, 0, 4500), []);
  assert.equal(tick(monitor, 5000, 5000), ['5000: 0 for 5000']);
});

test('a heartbeat starts the time anew, and a forgotten rank is not missed', () => {
  const monitor = new HeartbeatMonitor(5000, 2000);
  monitor.seen(0, 0);
  monitor.seen(1, 0);
  tick(monitor, 0, 3000);
  monitor.seen(0, 3000);
  monitor.forget(1);
  assert.equal(tick(monitor, 3500, 8000), ['8000: 0 for 5000']);
});

test('a rank that is borne with may be silent for longer, not for ever', () => {
  const monitor = new HeartbeatMonitor(1000, 2000);
  monitor.seen(0, 0);
  monitor.seen(1, 0);
  monitor.bearWith(1, 3000);
  assert.equal(tick(monitor, 500, 1000), ['1000: 0 for 1000']);
  monitor.forget(0);
  assert.equal(tick(monitor, 1500, 3000), ['3000: 1 for 3000']);
});

test('the most silent rank comes first', () => {
  const monitor = new HeartbeatMonitor(1000, 2000);
  monitor.seen(0, 200);
  monitor.seen(1, 100);
  assert.equal(
    monitor.silentRanks(1500).map(({ rank }) => rank),
    [1, 0],
  );
});

test("the coordinator's own pause does not count as silence", () => {
  const monitor = new HeartbeatMonitor(5000, 2000);
  monitor.seen(0, 0);
  tick(monitor, 0, 1000);
  // Stopped for a minute: the rank's silence before it (1000 ms) stands, the pause does not.
  assert.equal(tick(monitor, 61_000, 64_500), []);
  assert.equal(tick(monitor, 65_000, 65_000), ['65000: 0 for 5000']);
});

test.run();
