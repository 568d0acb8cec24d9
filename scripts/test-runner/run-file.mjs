import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { root } from '../setup/exec.mjs';
import { endLeftovers } from './leftovers.mjs';

const maxOutputBytes = 1 << 20;
const liveGroups = new Set();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.once(signal, () => {
    for (const pid of liveGroups) killGroup(pid);
    process.kill(process.pid, signal);
  });
}

/**
 * Runs one compiled uvu program in a process group of its own. A crash, a missed deadline, a file without tests and
 * a process left behind each count as one failed test more, and `problem` says which it was.
 *
 * @param {string} file relative to the root
 * @param {number} deadlineMs
 * @param {object} options
 * @param {number} options.graceMs for processes that outlive the file to end by themselves
 * @param {Readonly<Record<string, string>>} options.env beside this process's
 */
export async function runTestFile(file, deadlineMs, { graceMs = 60_000, env = {} } = {}) {
  const start = performance.now();
  const marker = `LONGSCAN_TEST_FILE=${randomUUID()}`;
  const { status, signal, isLate, leftovers, output } = await runToEnd(file, deadlineMs, {
    graceMs,
    env,
    marker,
  });
  const counts = parseSummary(output);
  const problems = [];
  if (isLate) problems.push(`killed after its deadline of ${deadlineMs / 1000} s`);
  else if (signal !== null) problems.push(`ended by ${signal}`);
  else if (status !== 0 && counts.failed === 0) problems.push(`ended with status ${status}`);
  else if (status === 0 && counts.total + counts.skipped === 0) problems.push('ran no test');
  if (leftovers.length > 0) problems.push(`left processes behind: ${leftovers.join(', ')}`);
  return {
    passed: counts.passed,
    failed: counts.failed + problems.length,
    skipped: counts.skipped,
    seconds: (performance.now() - start) / 1000,
    problem: problems.length > 0 ? problems.join('; ') : null,
    output,
  };
}

async function runToEnd(file, deadlineMs, { graceMs, env, marker }) {
  const [markerName, markerValue] = marker.split('=');
  const child = spawn(process.execPath, ['--enable-source-maps', file], {
    cwd: root,
    // A group of its own, so that the deadline ends the file's children with it.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      // Fresh tensors hold NaN, so an op that leaves a hole in its output fails.
      LONGSCAN_POISON: '1',
      // Two files run at once on machines that may have two cores.
      OMP_NUM_THREADS: '1',
      // Numbers are compared, unless the caller rehearses.
      LONGSCAN_REHEARSAL: '',
      ...env,
      [markerName]: markerValue,
    },
  });
  liveGroups.add(child.pid);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      // The end matters most: it holds uvu's summary and the crash.
      output = (output + text).slice(-maxOutputBytes);
    });
  }
  let isLate = false;
  const deadline = setTimeout(() => {
    isLate = true;
    killGroup(child.pid);
  }, deadlineMs);
  const closed = new Promise((resolve) => child.once('close', resolve));
  const [status, signal] = await new Promise((resolve, reject) => {
    child.once('error', reject).once('exit', (...end) => resolve(end));
  });
  clearTimeout(deadline);
  killGroup(child.pid);
  liveGroups.delete(child.pid);
  // A leftover process may hold the pipes open, so they are read to their end only once it is gone.
  const leftovers = await endLeftovers(marker, graceMs);
  await closed;
  return { status, signal, isLate, leftovers, output };
}

function killGroup(pid) {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

/** uvu's closing lines. Its total counts the tests that ran, not the skipped ones. */
function parseSummary(output) {
  const read = (name) => Number(output.match(new RegExp(`^\\s*${name}:\\s+(\\d+)\\s*$`, 'm'))?.[1] ?? 0);
  const [total, passed, skipped] = [read('Total'), read('Passed'), read('Skipped')];
  return { total, passed, skipped, failed: total - passed };
}
