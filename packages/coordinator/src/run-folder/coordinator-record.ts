import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { LongscanError } from '@longscan/worker/protocol';
import { z } from 'zod';
import { onDisk } from './on-disk.js';
import { processStartTime } from './process-identity.js';

const recordSchema = z.strictObject({
  jobId: z.string(),
  host: z.string(),
  pid: z.int(),
  /** Of `processStartTime`: tells this process from a later one with the same pid. */
  startTime: z.string(),
  /** ZeroMQ endpoint of the control plane, once it listens. */
  endpoint: z.string().nullable(),
  startedAt: z.string(),
  /** Null while the run is under way, and for ever when its coordinator was killed. */
  endedAt: z.string().nullable(),
});

/** Who coordinates (or coordinated last) a run: `coordinator.json` of its folder. */
export type CoordinatorRecord = z.infer<typeof recordSchema>;

function recordPath(runDir: string): string {
  return join(runDir, 'coordinator.json');
}

/** The record of this process for a run that starts now. */
export function ownRecord(jobId: string): CoordinatorRecord {
  return {
    jobId,
    host: hostname(),
    pid: process.pid,
    startTime: processStartTime(process.pid) ?? 'unknown',
    endpoint: null,
    startedAt: new Date().toISOString(),
    endedAt: null,
  };
}

/** Null when there is none or it cannot be read. */
export function readRecord(runDir: string): CoordinatorRecord | null {
  try {
    return recordSchema.parse(JSON.parse(readFileSync(recordPath(runDir), 'utf8')));
  } catch {
    return null;
  }
}

/** Whether the coordinator of a record still runs; of another host's nothing can be known, so it counts as alive. */
export function isLive(record: CoordinatorRecord): boolean {
  if (record.endedAt !== null) return false;
  return record.host !== hostname() || processStartTime(record.pid) === record.startTime;
}

/**
 * Replaces the record in one step: readers see the old one or the new one.
 * @throws LongscanError E-DISK (exit code 3).
 */
export function writeRecord(runDir: string, record: CoordinatorRecord): void {
  const draft = draftPath(runDir);
  onDisk(recordPath(runDir), () => {
    writeFileSync(draft, `${JSON.stringify(record, null, 2)}\n`);
    renameSync(draft, recordPath(runDir));
  });
}

/** @throws LongscanError E-LOCK (exit code 3) when a live run uses the folder. */
export function refuseLiveRun(runDir: string, wayOut?: string): void {
  const record = readRecord(runDir);
  if (record !== null && isLive(record)) throw inUse(runDir, record, wayOut);
}

/**
 * Notes that the run has ended, which frees its folder; else that is free when this process has ended. Comes after everything
 * else, so it throws nothing that could take the place of an earlier error.
 *
 * @returns E-DISK if it cannot be noted, to be told beside how the run ended.
 */
export function releaseRunFolder(runDir: string, record: CoordinatorRecord): LongscanError | null {
  try {
    writeRecord(runDir, { ...record, endpoint: null, endedAt: new Date().toISOString() });
    return null;
  } catch (error) {
    if (error instanceof LongscanError) return error;
    throw error;
  }
}

/**
 * Makes this process the coordinator of a run folder.
 *
 * @returns the record of a coordinator that died without ending the run, whose place was taken; else null.
 * @throws LongscanError E-LOCK (exit code 3) when a live run uses the folder.
 */
export function acquireRunFolder(runDir: string, record: CoordinatorRecord): CoordinatorRecord | null {
  const draft = draftPath(runDir);
  writeFileSync(draft, `${JSON.stringify(record, null, 2)}\n`);
  try {
    refuseLiveRun(runDir);
    const prev = readRecord(runDir);
    setAside(runDir, prev);
    // A link is made only if nothing has that name: of two processes that got here, one wins.
    linkSync(draft, recordPath(runDir));
    return prev?.endedAt === null ? prev : null;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    throw inUse(runDir, readRecord(runDir));
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Moves a record that is no longer in force out of the way, unless it has just been replaced by one that is. */
function setAside(runDir: string, prev: CoordinatorRecord | null): void {
  const aside = `${draftPath(runDir)}.prev`;
  try {
    renameSync(recordPath(runDir), aside);
  } catch {
    return;
  }
  const moved = readFileSync(aside, 'utf8');
  const isExpected = prev === null || moved === `${JSON.stringify(prev, null, 2)}\n`;
  if (!isExpected) linkSync(aside, recordPath(runDir));
  rmSync(aside);
}

function draftPath(runDir: string): string {
  return join(runDir, `.coordinator-${process.pid}.json`);
}

function inUse(
  runDir: string,
  holder: CoordinatorRecord | null,
  wayOut = 'choose another --run-dir',
): LongscanError {
  const who = holder === null ? 'another process' : `process ${holder.pid} on ${holder.host}`;
  const since = holder === null ? '' : ` since ${holder.startedAt}`;
  return new LongscanError({
    code: 'E-LOCK',
    where: runDir,
    found: `${who} has been using it${since}`,
    expected: 'a run folder that no live run uses',
    fix: `longscan stop it, or ${wayOut}; if that host is gone for good, delete coordinator.json`,
    exitCode: 3,
  });
}
