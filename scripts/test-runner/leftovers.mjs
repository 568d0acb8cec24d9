import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Kills and names the processes that still carry `marker` (`NAME=value`) in their environment. Ranks are started in
 * sessions of their own, so neither their parent nor their group would give them away.
 *
 * @param {string} marker
 * @param {number} graceMs for a process to end by itself: a rank whose coordinator has just ended is on its way out
 */
export async function endLeftovers(marker, graceMs) {
  const deadline = performance.now() + graceMs;
  let pids = findMarked(marker);
  while (pids.length > 0 && performance.now() < deadline) {
    await sleep(50);
    pids = findMarked(marker);
  }
  return pids.map((pid) => {
    const name = readProc(pid, 'cmdline').replaceAll('\0', ' ').trim();
    try {
      process.kill(Number(pid), 'SIGKILL');
    } catch {
      // It has ended meanwhile; it was still there after the grace.
    }
    return `${pid} (${name})`;
  });
}

function findMarked(marker) {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.filter((pid) => readProc(pid, 'environ').split('\0').includes(marker));
}

/** Empty for a process that is gone, a zombie, or another user's. */
function readProc(pid, file) {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
}
