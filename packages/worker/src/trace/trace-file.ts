import { closeSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { TraceHeader } from '../protocol/trace-file.js';
import { traceFolder, traceHeaderVersion, traceName } from '../protocol/trace-place.js';
import { type ChromeEvent, nameEvents, type TimedEvent } from './chrome-events.js';
import { monotonicUs } from './step-tracer.js';

/**
 * A rank's trace while it is written: one event a line in the order of time, and at any moment all but its last two
 * characters, so that a rank that dies leaves what it had.
 */
export class TraceFile {
  private readonly file: number;
  private isFirst = true;
  /** Events that others may still come in front of. */
  private held: TimedEvent[] = [];

  /** `streams`: names of the rank's streams. */
  constructor(runDir: string, rank: number, streams: readonly string[]) {
    mkdirSync(join(runDir, traceFolder), { recursive: true });
    this.file = openSync(join(runDir, traceFolder, traceName(rank)), 'w');
    const header = { displayTimeUnit: 'ms', otherData: headerOf(rank) };
    writeSync(this.file, `${JSON.stringify(header).slice(0, -1)},"traceEvents":[`);
    this.write(nameEvents(rank, hostname(), streams));
  }

  /** Takes events in any order; none before `completeUs` will come any more. */
  add(events: readonly TimedEvent[], completeUs: number): void {
    const held = [...this.held, ...events].sort(inTime);
    const numComplete = held.findIndex(({ ts }) => ts >= completeUs);
    this.held = numComplete < 0 ? [] : held.splice(numComplete);
    this.write(held);
  }

  close(): void {
    this.write(this.held);
    writeSync(this.file, '\n]}\n');
    closeSync(this.file);
  }

  private write(events: readonly ChromeEvent[]): void {
    if (events.length === 0) return;
    const lines = events.map((event) => JSON.stringify(event)).join(',\n');
    writeSync(this.file, `${this.isFirst ? '' : ','}\n${lines}`);
    this.isFirst = false;
  }
}

/** What is around others comes in front of them. */
function inTime(a: TimedEvent, b: TimedEvent): number {
  return a.ts - b.ts || (b.dur ?? 0) - (a.dur ?? 0);
}

function headerOf(rank: number): TraceHeader {
  return {
    version: traceHeaderVersion,
    rank,
    host: hostname(),
    bootId: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
    wallMinusMonotonicUs: Date.now() * 1000 - monotonicUs(),
  };
}
