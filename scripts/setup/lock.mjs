import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { say } from './exec.mjs';

/**
 * Runs `work` while holding `file`, which names its holder as `<pid> <start time>`. The start time tells a live
 * holder from a stranger that was given a dead holder's pid, so a lock left by a killed set-up is taken over.
 */
export async function withLock(file, work) {
  mkdirSync(path.dirname(file), { recursive: true });
  await acquire(file);
  const release = () => rmSync(file, { force: true });
  process.once('exit', release);
  try {
    return await work();
  } finally {
    process.off('exit', release);
    release();
  }
}

async function acquire(file) {
  // Linking a written file makes lock and content appear at once; nobody ever reads half a lock.
  const written = `${file}.${process.pid}.new`;
  writeFileSync(written, identity(process.pid));
  try {
    for (let isFirstTry = true; !tryLink(written, file); isFirstTry = false) {
      const holder = readHolder(file);
      if (holder === null) continue;
      if (!isAlive(holder)) {
        takeAway(file, holder);
        continue;
      }
      if (isFirstTry) say(`waiting for the set-up of process ${holder.split(' ')[0]}`);
      await sleep(200);
    }
  } finally {
    rmSync(written, { force: true });
  }
}

function tryLink(written, file) {
  try {
    linkSync(written, file);
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  }
}

/** Removes a dead holder's lock. Rename is atomic, so of two contenders only one gets the file. */
function takeAway(file, deadHolder) {
  const aside = `${file}.${process.pid}`;
  try {
    renameSync(file, aside);
  } catch {
    return;
  }
  // Between reading and renaming another contender may have put its own lock there: give that one back.
  if (readHolder(aside) === deadHolder) rmSync(aside, { force: true });
  else renameSync(aside, file);
}

function readHolder(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return null;
  }
}

/** `<pid> <start time in clock ticks since boot>`; the start time is 0 when the process is gone. */
function identity(pid) {
  try {
    // Field 22 of /proc/PID/stat, counted after the command name, which may hold spaces and parentheses.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return `${pid} ${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]}`;
  } catch {
    return `${pid} 0`;
  }
}

function isAlive(holder) {
  const [pid, startTime] = holder.split(' ');
  return startTime !== '0' && identity(pid) === holder;
}
