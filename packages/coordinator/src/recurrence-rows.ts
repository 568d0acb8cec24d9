import type { MissingRecurrence, RecurrencesResult, RecurrenceTimes } from '@longscan/worker/protocol';
import { formatBytes, formatMachine, formatTable } from './format.js';
import { quantileOf } from './quantile.js';

/** A recurrence over the ranks of a group as it was measured. */
export interface RecurrenceRow
  extends Omit<RecurrenceTimes, 'samplesMs'>,
    Pick<RecurrencesResult, 'machine' | 'versions'> {
  readonly numRanks: number;
  readonly numRounds: number;
  /** Of the slowest rank in each round. */
  readonly medianMs: number;
  /** 10th and 90th percentile. */
  readonly lowMs: number;
  readonly highMs: number;
  /** `medianMs` of the same slices as sequences of their own. */
  readonly aloneMs: number;
}

/** A recurrence that was not measured, and what one of the ranks says of that. */
export interface UnmeasuredRow extends MissingRecurrence {
  readonly missing: string;
}

export interface MeasuredRecurrences extends Pick<RecurrencesResult, 'machine' | 'versions'> {
  readonly numRanks: number;
  readonly rows: readonly (RecurrenceRow | UnmeasuredRow)[];
}

/** What the ranks of a group, in its order, have measured: times of the slowest, bytes sent by all, memory of the one with the most. */
export function recurrenceRows(results: readonly RecurrencesResult[]): MeasuredRecurrences {
  const { machine, versions, cases } = results[0]!;
  const numRanks = results.length;
  let aloneMs = 0;
  const rows = cases.map((row, i): RecurrenceRow | UnmeasuredRow => {
    if ('missing' in row) return { ...row, missing: reasonOf(results.map(({ cases }) => cases[i]!)) };
    const ranks = results.map((result) => result.cases[i] as RecurrenceTimes);
    const { samplesMs, ...what } = row;
    const slowest = samplesMs.map((_, round) => Math.max(...ranks.map((rank) => rank.samplesMs[round]!)));
    const medianMs = quantileOf(slowest, 0.5);
    // Slices alone come before all strategies of a pass.
    if (what.strategy === null) aloneMs = medianMs;
    return {
      ...{ ...what, numRanks, numRounds: slowest.length },
      ...{ medianMs, lowMs: quantileOf(slowest, 0.1), highMs: quantileOf(slowest, 0.9), aloneMs },
      bytesSent: ranks.reduce((sum, { bytesSent }) => sum + bytesSent, 0),
      extraBytes: Math.max(...ranks.map(({ extraBytes }) => extraBytes)),
      ...{ machine, versions },
    };
  });
  return { numRanks, machine, versions, rows };
}

/** Of the first rank that has one. */
function reasonOf(rows: readonly RecurrencesResult['cases'][number][]): string {
  const reasons = rows.flatMap((row) => ('missing' in row && row.missing !== null ? [row.missing] : []));
  return reasons[0] ?? 'no rank says why';
}

const header = [
  ...['recurrence', 'T', 'pass', 'states cross by', 'ms', '10 – 90 %', 'more than alone'],
  ...['sent', 'extra memory'],
];

/** A table of what was measured, then what could not be. */
export function formatRecurrences({ numRanks, machine, versions, rows }: MeasuredRecurrences): string {
  const name = formatMachine(machine, 'threads a rank');
  const libraries = Object.entries(versions).map((pair) => `; ${pair.join(' ')}`);
  const measured = rows.flatMap((row) => ('missing' in row ? [] : [cellsOf(row)]));
  const missing = rows.flatMap((row) =>
    'missing' in row
      ? [`${[row.op, `T = ${row.T}`, ...partsOf(row, numRanks)].join(', ')}: ${row.missing}`]
      : [],
  );
  return [
    `${numRanks} ranks; ${name}${libraries.join('')}`,
    '',
    formatTable([header, ...measured], '<><<>>>>>'),
    ...missing,
  ].join('\n');
}

function cellsOf(row: RecurrenceRow): string[] {
  const { strategy, medianMs, aloneMs } = row;
  const more = medianMs / aloneMs - 1;
  return [
    ...[row.op, String(row.T), row.pass === 'both' ? 'forward + backward' : row.pass, wayOf(row)],
    ...[medianMs.toPrecision(4), `${row.lowMs.toPrecision(4)} – ${row.highMs.toPrecision(4)}`],
    strategy === null ? '' : `${(medianMs - aloneMs).toPrecision(3)} ms = ${(100 * more).toFixed(1)} %`,
    strategy === null ? '' : formatBytes(row.bytesSent),
    formatBytes(row.extraBytes),
  ];
}

const wayOf = (row: RecurrenceRow): string =>
  row.strategy === null ? '– (slices alone)' : partsOf(row, row.numRanks).join(', ');

/** How states cross the ranks, in words: none where they do not. */
function partsOf(
  { strategy, blocks, ranksPerNode }: Pick<MissingRecurrence, 'strategy' | 'blocks' | 'ranksPerNode'>,
  numRanks: number,
): string[] {
  return [
    ...(strategy === null ? [] : [strategy]),
    ...(blocks !== null && blocks > 1 ? [`${blocks} blocks`] : []),
    ...(ranksPerNode !== null && ranksPerNode < numRanks ? [`${ranksPerNode} a node`] : []),
  ];
}
