import { createWriteStream, existsSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { LongscanError, type TraceHeader, traceName } from '@longscan/worker/protocol';
import { asDiskError } from './on-disk.js';
import { runFiles } from './run-folder.js';
import { type TraceLine, TraceReader } from './trace-reader.js';

/** The traces of all ranks as one file. */
export interface MergedTrace {
  /** Absolute, if the run's folder was. */
  readonly path: string;
  /** Ranks that are in it. */
  readonly ranks: readonly number[];
  /** What is missing from it and why, and what its times are worth where ranks have different clocks. */
  readonly notes: readonly string[];
}

/** A rank's trace, read up to its first event with a time. */
interface Source {
  readonly rank: number;
  readonly reader: TraceReader;
  /** What is added to its times, microseconds. */
  offsetUs: number;
  next: TraceLine | null;
}

/**
 * Merges the ranks' traces of a run into `trace.json`, one process a rank, in the order of time. Traces are read and written
 * line by line. A rank whose file is missing or broken is noted, with what can be read of it, and the rest is merged.
 *
 * @returns null if the run was not traced.
 * @throws LongscanError E-TRACE if no rank's file can be read, or not the folder; E-DISK if `trace.json` cannot be written.
 */
export async function mergeTraces(runDir: string): Promise<MergedTrace | null> {
  if (!existsSync(join(runDir, runFiles.traces))) return null;
  const notes: string[] = [];
  const sources = await openAll(runDir, notes);
  if (sources.length === 0) {
    throw new LongscanError({
      code: 'E-TRACE',
      where: join(runDir, runFiles.traces),
      found: `no rank's trace can be read: ${notes.join('; ')}`,
      fix: 'trace the steps again: longscan train JOB --trace',
      exitCode: 4,
    });
  }
  setClocks(sources, notes);
  const path = join(runDir, runFiles.trace);
  const draft = `${path}.${process.pid}`;
  try {
    await pipeline(merged(sources, notes), createWriteStream(draft));
    renameSync(draft, path);
  } catch (error) {
    throw asDiskError(path, error);
  } finally {
    for (const { reader } of sources) reader.close();
    rmSync(draft, { force: true });
  }
  return { path, ranks: sources.map(({ rank }) => rank), notes };
}

async function openAll(runDir: string, notes: string[]): Promise<Source[]> {
  const sources: Source[] = [];
  for (const rank of expectedRanks(runDir)) {
    try {
      const reader = await TraceReader.open(join(runDir, runFiles.traces, traceName(rank)));
      sources.push({ rank, reader, offsetUs: 0, next: null });
    } catch (error) {
      notes.push(noteOf(rank, error));
    }
  }
  return sources;
}

/** Those of the plan; files of others are left from an earlier launch in this folder. Without a plan, those that are there. */
function expectedRanks(runDir: string): readonly number[] {
  const plan = join(runDir, runFiles.plan);
  if (existsSync(plan)) {
    const { mesh } = reading(
      plan,
      () => JSON.parse(readFileSync(plan, 'utf8')) as { readonly mesh: { readonly numRanks: number } },
    );
    return Array.from({ length: mesh.numRanks }, (_, rank) => rank);
  }
  const traces = join(runDir, runFiles.traces);
  const found = reading(traces, () => readdirSync(traces)).map(
    (name) => /^rank-(\d+)\.json$/.exec(name)?.[1],
  );
  return found
    .filter((rank) => rank !== undefined)
    .map(Number)
    .sort((a, b) => a - b);
}

/** What cannot be read is told as that; only what is written is a matter of the disk's room. */
function reading<T>(where: string, action: () => T): T {
  try {
    return action();
  } catch (cause) {
    const { message } = cause as Error;
    throw new LongscanError({
      code: 'E-TRACE',
      where,
      found: `it cannot be read (${message})`,
      expected: "what a traced run's folder holds",
      fix: 'let this user read it, or trace the steps again: longscan train JOB --trace',
      exitCode: 4,
      cause,
    });
  }
}

/** Brings all times onto the clock of the first rank's host. */
function setClocks(sources: readonly Source[], notes: string[]): void {
  const reference = sources[0]!.reader.header;
  const others = new Map<string, TraceHeader>();
  for (const source of sources) {
    const { header } = source.reader;
    if (header.bootId === reference.bootId) continue;
    source.offsetUs = header.wallMinusMonotonicUs - reference.wallMinusMonotonicUs;
    others.set(header.bootId, header);
  }
  for (const { host } of others.values()) {
    notes.push(
      `${host} and ${reference.host} have clocks of their own: times between them are only as good as their wall clocks agree`,
    );
  }
}

/** The merged file piece by piece. */
async function* merged(sources: readonly Source[], notes: string[]): AsyncGenerator<string, void> {
  yield '{"displayTimeUnit":"ms","traceEvents":[';
  let separator = '\n';
  const line = (json: string): string => {
    const text = `${separator}${json}`;
    separator = ',\n';
    return text;
  };
  // Names first, then everything with a time.
  for (const source of sources) {
    while ((await advance(source, notes)) && source.next!.ts === null) yield line(source.next!.json);
  }
  const waiting = sources.filter(({ next }) => next !== null).sort(byTime);
  for (let source = waiting.shift(); source !== undefined; source = waiting.shift()) {
    yield line(shifted(source));
    if (!(await advance(source, notes))) continue;
    const place = waiting.findIndex((other) => byTime(source!, other) < 0);
    waiting.splice(place < 0 ? waiting.length : place, 0, source);
  }
  yield `\n],"otherData":${JSON.stringify({ ranks: sources.map(({ rank }) => rank), notes })}}\n`;
}

/** Whether there was a next event; what is broken is noted and ends the rank. */
async function advance(source: Source, notes: string[]): Promise<boolean> {
  try {
    source.next = await source.reader.next();
  } catch (error) {
    source.next = null;
    notes.push(noteOf(source.rank, error));
  }
  return source.next !== null;
}

const timeOf = ({ next, offsetUs }: Source): number => next!.ts! + offsetUs;

function byTime(a: Source, b: Source): number {
  return timeOf(a) - timeOf(b) || a.rank - b.rank;
}

/** The event on the common clock. */
function shifted(source: Source): string {
  const { json } = source.next!;
  if (source.offsetUs === 0) return json;
  return JSON.stringify({ ...JSON.parse(json), ts: Math.round(1000 * timeOf(source)) / 1000 });
}

function noteOf(rank: number, error: unknown): string {
  if (!(error instanceof LongscanError)) throw error;
  return `rank ${rank}: ${error.parts.found} (${error.parts.where})`;
}
