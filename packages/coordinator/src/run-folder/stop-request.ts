import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { LongscanError } from '@longscan/worker/protocol';
import { z } from 'zod';
import { isLive, readRecord } from './coordinator-record.js';
import { writeFileOnDisk } from './on-disk.js';

const requestSchema = z.strictObject({ save: z.boolean() });
type StopRequest = z.infer<typeof requestSchema>;

const pollMs = 200;

function requestPath(runDir: string): string {
  return join(runDir, 'stop-request.json');
}

/**
 * Asks the coordinator of a run, in whatever process it is, to stop it, and waits until it has ended. A file is the
 * messenger: it needs no port, no signal handler in a script that called launch(), and the folder's permissions say
 * who may.
 *
 * @throws LongscanError E-RUN-STATE (exit code 2) when nobody runs it.
 */
export async function requestStop(runDir: string, request: StopRequest): Promise<void> {
  const record = readRecord(runDir);
  if (record === null || !isLive(record)) {
    throw new LongscanError({
      code: 'E-RUN-STATE',
      where: runDir,
      found: record?.endedAt === null ? 'its coordinator has died' : 'the run has ended',
      expected: 'a run under way',
      fix: 'nothing is left to stop; longscan status RUN says how it ended',
      exitCode: 2,
    });
  }
  writeFileOnDisk(requestPath(runDir), JSON.stringify(request));
  for (let now = readRecord(runDir); now !== null && isLive(now); now = readRecord(runDir))
    await delay(pollMs);
}

/** Removes a request that an earlier launch left behind. */
export function clearStopRequest(runDir: string): void {
  rmSync(requestPath(runDir), { force: true });
}

/** Calls back once when somebody has asked for a stop. Returns a function that ends the watch. */
export function watchStopRequest(runDir: string, onRequest: (request: StopRequest) => void): () => void {
  const timer = setInterval(() => {
    const request = readRequest(runDir);
    if (request === null) return;
    clearInterval(timer);
    clearStopRequest(runDir);
    onRequest(request);
  }, pollMs);
  timer.unref();
  return () => clearInterval(timer);
}

function readRequest(runDir: string): StopRequest | null {
  try {
    return requestSchema.parse(JSON.parse(readFileSync(requestPath(runDir), 'utf8')));
  } catch {
    return null;
  }
}
