import { createReadStream, existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { parseRow } from './jsonl-file.js';

/** Rows of a JSONL file from its start, one at a time; those that were cut short are left out. */
export async function* readJsonl(path: string): AsyncGenerator<unknown> {
  if (!existsSync(path)) return;
  for await (const line of createInterface({
    input: createReadStream(path),
    crlfDelay: Number.POSITIVE_INFINITY,
  })) {
    const row = parseRow(line);
    if (row !== null) yield row;
  }
}
