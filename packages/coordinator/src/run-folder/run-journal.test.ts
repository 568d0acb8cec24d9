import { appendFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StepRow } from '@longscan/worker/protocol';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { RunEvent } from './events.js';
import { readJournal } from './journal-reader.js';
import { JsonlFile } from './jsonl-file.js';
import { readTail } from './log-tail.js';
import { RunJournal } from './run-journal.js';

async function withFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'longscan-journal-test-'));
  try {
    await body(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function row(step: number): StepRow {
  return {
    step,
    attempt: 1,
    loss: 1,
    gradNorm: 1,
    finite: true,
    lr: 1,
    tokens: 1,
    tokensPerSecond: 1,
    mfu: null,
    stepMs: 1,
    spExposedMs: 0,
    spBytesSent: 0,
    peakBytes: 0,
    perRank: [],
    extra: {},
  };
}

/** `step 3`, `stop`, … */
const brief = (event: RunEvent): string => (event.event === 'step' ? `step ${event.step}` : event.event);

test('rows of both files come in the order in which they were written', () =>
  withFolder(async (folder) => {
    const journal = new RunJournal(folder);
    const start = journal.size;
    journal.event({ event: 'rendezvous', hosts: ['a'] });
    journal.metrics(row(1));
    journal.metrics(row(2));
    journal.event({ event: 'stop', save: true });
    journal.metrics(row(3));
    journal.close();
    const seen: string[] = [];
    for await (const event of readJournal(journal, start)) seen.push(brief(event));
    assert.equal(seen, ['rendezvous', 'step 1', 'step 2', 'stop', 'step 3']);
  }));

test('a reader that keeps up, and one that starts where the journal then stood', () =>
  withFolder(async (folder) => {
    const journal = new RunJournal(folder);
    const seen: string[] = [];
    const reader = readJournal(journal, journal.size);
    for (let step = 1; step <= 3; step++) {
      const next = reader.next();
      journal.metrics(row(step));
      seen.push(brief((await next).value as RunEvent));
    }
    const later = readJournal(journal, journal.size);
    journal.event({ event: 'stop', save: false });
    journal.close();
    for await (const event of later) seen.push(brief(event));
    assert.equal(seen, ['step 1', 'step 2', 'step 3', 'stop']);
    assert.equal((await reader.next()).value, { event: 'stop', save: false });
    assert.is((await reader.next()).done, true);
  }));

test('rows longer than a block of the file', () =>
  withFolder(async (folder) => {
    const journal = new RunJournal(folder);
    const start = journal.size;
    const hosts = Array.from({ length: 20_000 }, (_, i) => `host-${i}`);
    journal.event({ event: 'rendezvous', hosts });
    journal.event({ event: 'stop', save: true });
    journal.close();
    const events: RunEvent[] = [];
    for await (const event of readJournal(journal, start)) events.push(event);
    assert.equal(events, [
      { event: 'rendezvous', hosts },
      { event: 'stop', save: true },
    ]);
  }));

test('a row that was cut short spoils no other', () =>
  withFolder(async (folder) => {
    const path = join(folder, 'rows.jsonl');
    appendFileSync(path, '{"a":1}\n{"a":');
    const file = new JsonlFile(path);
    assert.ok(file.append({ a: 3 }));
    file.close();
    assert.is(readFileSync(path, 'utf8'), '{"a":1}\n{"a":\n{"a":3}\n');
  }));

test('what cannot be written is counted and ends nothing', () =>
  withFolder(async (folder) => {
    const journal = new RunJournal(folder);
    journal.close();
    journal.metrics(row(1));
    assert.is(journal.numLost, 1);
  }));

test('the tail of a log', () =>
  withFolder(async (folder) => {
    const path = join(folder, 'rank-0.log');
    assert.equal(await readTail(path, 3), []);
    appendFileSync(path, Array.from({ length: 100 }, (_, i) => `line ${i}`).join('\n'));
    assert.equal(await readTail(path, 2), ['line 98', 'line 99']);
    appendFileSync(path, '\n');
    assert.equal(await readTail(path, 2), ['line 98', 'line 99']);
    assert.equal(await readTail(path, 0), []);
    appendFileSync(path, `${'x'.repeat(2 << 20)}\nlast\n`);
    assert.equal(await readTail(path, 50), ['last']);
  }));

test.run();
