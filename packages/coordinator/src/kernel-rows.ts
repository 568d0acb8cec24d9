import { z } from 'zod';
import { formatBytes, formatMachine, formatTable } from './format.js';
import { describePeer, type PeerTimes, ratiosOf } from './peer-times.js';

const measurementSchema = z.object({
  ...{ op: z.string(), B: z.number(), T: z.number(), H: z.number(), K: z.number(), V: z.number() },
  ...{ dtype: z.string(), pass: z.enum(['forward', 'both']) },
  ...{ medianMs: z.number(), lowMs: z.number(), highMs: z.number(), graphMs: z.number().nullable() },
  ...{ bytesFloorMs: z.number(), bytesFraction: z.number() },
  ...{ flopsFloorMs: z.number().nullable(), flopsFraction: z.number().nullable() },
  extraBytes: z.number(),
});
const missingSchema = z.object({ op: z.string(), T: z.number(), pass: z.null(), missing: z.string() });

/** What the `bench-kernels` task gives. */
export const benchResultSchema = z.object({
  machine: z.record(z.string(), z.unknown()),
  ceilings: z.object({ bytesPerSecond: z.number(), flopsPerSecond: z.number().nullable() }),
  rows: z.array(z.record(z.string(), z.unknown())),
});

type BenchResult = z.infer<typeof benchResultSchema>;

/** Whether anything could be measured of what was asked for. */
export function isMeasured({ rows }: BenchResult): boolean {
  return rows.some((row) => measurementSchema.safeParse(row).success);
}

/** Rows for programs: each with the machine it was taken on, and the peer's times where there are any. */
export function rowsForJson(
  { machine, ceilings, rows }: BenchResult,
  peer: PeerTimes | null,
): Record<string, unknown>[] {
  return rows.map((row) => {
    const own = measurementSchema.safeParse(row);
    return { ...row, ...(peer && own.success ? ratiosOf(own.data, peer) : {}), machine, ceilings };
  });
}

export function describeMachine({ machine, ceilings }: BenchResult): string {
  const name = formatMachine(machine);
  const arithmetic = ceilings.flopsPerSecond;
  const products = arithmetic === null ? 'not known' : `${(arithmetic / 1e12).toPrecision(3)} TFLOP/s`;
  return `${name}: copies at ${(ceilings.bytesPerSecond / 1e9).toPrecision(3)} GB/s, matrix products at ${products}`;
}

/** A table of what was measured, then what could not be, then what it was compared with. */
export function formatRows(rows: readonly unknown[], peer: PeerTimes | null): string {
  const header = ['op', 'T', 'pass', 'ms', '10 – 90 %', 'graph', 'bytes floor', 'FLOP floor', 'extra memory'];
  const table: string[][] = [peer === null ? header : [...header, 'peer', 'ratio', 'graph ratio']];
  const missing: string[] = [];
  for (const row of rows) {
    const none = missingSchema.safeParse(row);
    if (none.success) {
      missing.push(`${none.data.op}, T = ${none.data.T}: ${none.data.missing}`);
      continue;
    }
    const m = measurementSchema.parse(row);
    const cells = [
      ...[m.op, String(m.T), m.pass === 'both' ? 'forward + backward' : m.pass, m.medianMs.toPrecision(4)],
      `${m.lowMs.toPrecision(4)} – ${m.highMs.toPrecision(4)}`,
      m.graphMs === null ? '' : m.graphMs.toPrecision(4),
      `${m.bytesFloorMs.toPrecision(3)} ms = ${percent(m.bytesFraction)}`,
      m.flopsFloorMs === null ? '' : `${m.flopsFloorMs.toPrecision(3)} ms = ${percent(m.flopsFraction ?? 0)}`,
      formatBytes(m.extraBytes),
    ];
    if (peer !== null) {
      const { peerMs, ratio, graphRatio } = ratiosOf(m, peer);
      cells.push(peerMs?.toPrecision(4) ?? '', ratio?.toFixed(2) ?? '', graphRatio?.toFixed(2) ?? '');
    }
    table.push(cells);
  }
  const compared = peer === null ? [] : [describePeer(peer)];
  return [formatTable(table, '<><>>>>>>>>>'), ...missing, ...compared].join('\n');
}

function percent(fraction: number): string {
  return `${Math.round(100 * fraction)} %`;
}
