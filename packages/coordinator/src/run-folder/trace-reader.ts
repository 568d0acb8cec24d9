import { createReadStream } from 'node:fs';
import {
  LongscanError,
  type TraceHeader,
  traceHeaderSchema,
  traceHeaderVersion,
} from '@longscan/worker/protocol';
import { z } from 'zod';

/** An event of a trace: its line as JSON, its time in microseconds (null: it names something). */
export interface TraceLine {
  readonly json: string;
  readonly ts: number | null;
}

/** The end of a trace's last line but one. */
const footer = ']}';

/** Reads a rank's trace line by line, which is how ranks write it: a file of any size takes no memory. */
export class TraceReader {
  private constructor(
    private readonly path: string,
    readonly header: TraceHeader,
    private readonly lines: AsyncGenerator<string, void>,
    private numLines: number,
  ) {}

  /** @throws LongscanError E-TRACE: it cannot be read, or is no trace. */
  static async open(path: string): Promise<TraceReader> {
    const lines = linesOf(path);
    const { value, done } = await lines.next();
    const first = done === true ? '' : value;
    const said = parseJson(`${first}${footer}`)?.otherData;
    const header = traceHeaderSchema.safeParse(said);
    if (header.success) return new TraceReader(path, header.data, lines, 1);
    const { version } = z.looseObject({ version: z.unknown() }).catch({ version: null }).parse(said);
    if (typeof version === 'number' && version !== traceHeaderVersion)
      throw broken(
        `${path}, line 1`,
        `version ${version}, of which this longscan reads ${traceHeaderVersion}`,
      );
    throw broken(`${path}, line 1`, `${JSON.stringify(first.slice(0, 80))} is not how a rank's trace begins`);
  }

  /**
   * The next event; null at the end.
   * @throws LongscanError E-TRACE: the file is cut off, or a line is no event; nothing after it can be read.
   */
  async next(): Promise<TraceLine | null> {
    const { value, done } = await this.lines.next();
    const where = `${this.path}, line ${++this.numLines}`;
    if (done === true) throw broken(where, 'the file is cut off');
    if (value === footer) return null;
    const json = value.replace(/,$/, '');
    const event = parseJson(json);
    const ts = event?.ts ?? null;
    const isTimed = typeof ts === 'number' && Number.isFinite(ts);
    if (typeof event?.ph !== 'string' || !(isTimed || event.ph === 'M')) {
      throw broken(where, `${JSON.stringify(value.slice(0, 80))} is not an event`);
    }
    return { json, ts: isTimed ? ts : null };
  }

  close(): void {
    void this.lines.return();
  }
}

async function* linesOf(path: string): AsyncGenerator<string, void> {
  let rest = '';
  try {
    for await (const chunk of createReadStream(path, 'utf8')) {
      const lines = `${rest}${chunk}`.split('\n');
      rest = lines.pop()!;
      yield* lines;
    }
  } catch (error) {
    throw broken(path, `cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
  if (rest !== '') yield rest;
}

function parseJson(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : null;
  } catch {
    return null;
  }
}

function broken(where: string, found: string): LongscanError {
  return new LongscanError({
    code: 'E-TRACE',
    where,
    found,
    expected: 'the trace of a rank',
    fix: 'trace the steps again, or go on without this rank',
    exitCode: 4,
  });
}
