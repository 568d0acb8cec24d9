import { describeChainLink, describeLink } from '../fabric/describe-link.js';
import type { LinkFit } from '../fabric/fabric-file.js';
import { formatBytes, formatError, formatMachine, formatSeconds, formatTable } from '../format.js';
import { handOverRow } from './hand-over.js';
import type { Measured, PredictedRow } from './measured.js';

const header = [
  ...['operation', 'size', 'time', '10 – 90 %', 'algbw GB/s', 'busbw GB/s'],
  ...['host', 'fit', 'fit / time', 'errors'],
];

/** A table in the manner of nccl-tests, the fitted links and how well they tell what was measured. */
export function formatCollectives(measured: Measured): string {
  const { rows, fit, numRanks, engine, machine, versions } = measured;
  const name = formatMachine(machine, 'threads a rank');
  const byKind = groupByKind(rows);
  return [
    `${numRanks} ranks over ${engine}; ${name}; ${Object.entries(versions)
      .map((pair) => pair.join(' '))
      .join(', ')}`,
    '',
    formatTable([header, ...[...byKind.values()].flat().map(cellsOf)], '<>>>>>>>>>'),
    '',
    ...(fit === null
      ? ['no fit: these sizes and times tell no latency, gap and bandwidth above zero']
      : [
          ...formatFit(
            fit.between === null ? 'links' : 'links inside a node',
            describeLink(fit.inside.link),
            fit.inside,
          ),
          ...(fit.between === null
            ? []
            : formatFit('links between nodes', describeLink(fit.between.link), fit.between)),
          ...formatChains(measured),
          ...formatHandOver(measured),
          ...formatPredictions(byKind),
        ]),
  ].join('\n');
}

/** What rows of all sizes are of. */
function kindOf({ op, link, strategy, blocks, ranksPerNode, numRanks }: PredictedRow): string {
  if (op !== 'scan') return link === 'between' ? `${op} between nodes` : op;
  const parts = [
    `scan ${strategy}`,
    ...(blocks! > 1 ? [`${blocks} blocks`] : []),
    ...(ranksPerNode! < numRanks ? [`${ranksPerNode} a node`] : []),
  ];
  return parts.join(', ');
}

function groupByKind(rows: readonly PredictedRow[]): Map<string, PredictedRow[]> {
  const byKind = new Map<string, PredictedRow[]>();
  for (const row of rows) byKind.set(kindOf(row), [...(byKind.get(kindOf(row)) ?? []), row]);
  return byKind;
}

function cellsOf(row: PredictedRow): string[] {
  const gigabytes = (bytesPerS: number) => (bytesPerS / 1e9).toPrecision(3);
  const { medianS, lowS, highS, hostS, predictedS } = row;
  return [
    ...[kindOf(row), formatBytes(row.bytes), formatSeconds(medianS)],
    `${formatSeconds(lowS)} – ${formatSeconds(highS)}`,
    ...[gigabytes(row.algorithmBytesPerS), gigabytes(row.busBytesPerS), formatSeconds(hostS)],
    predictedS === null ? '' : formatSeconds(predictedS),
    predictedS === null ? '' : (predictedS / medianS).toFixed(2),
    String(row.numErrors),
  ];
}

function formatFit(
  what: string,
  link: string,
  { residuals, meanRelativeError, worstRelativeError }: LinkFit,
): string[] {
  const worst = residuals.find(({ relativeError }) => Math.abs(relativeError) === worstRelativeError)!;
  const size = `${formatBytes(worst.bytes)}, ${opOf[worst.kind]}`;
  return [
    `${what}: ${link}`,
    `  off by ${formatError(meanRelativeError)} on average, by ${formatError(worstRelativeError)} at worst (${size})`,
  ];
}

/** The operation that a point of a fit is of. */
const opOf = { latency: 'send-recv', gap: 'burst', chain: 'chain', 'chain-run': 'chain-run' } as const;

function formatChains({ rows, fit }: Measured): string[] {
  if (!rows.some(({ op }) => op === 'chain')) return [];
  const { chains } = fit!;
  return chains === null
    ? ['chains through mapped memory: no fit, these sizes and times tell no bandwidth above zero']
    : formatFit('chains through mapped memory', describeChainLink(chains.link), chains);
}

function formatHandOver({ rows, handOverS }: Measured): string[] {
  const chain = handOverRow(rows);
  if (chain === undefined || handOverS === null) return [];
  const time = formatSeconds(handOverS);
  return [`scans: a message costs a core ${time} at either end, by the chain of ${formatBytes(chain.bytes)}`];
}

/** How far what that says of each kind is from what was measured, all sizes together but for what it was fitted to. */
function formatPredictions(byKind: ReadonlyMap<string, readonly PredictedRow[]>): string[] {
  const lines = [...byKind].flatMap(([kind, rows]) => {
    const errors = rows.flatMap(({ predictedS, medianS, isFitted }) =>
      predictedS === null || isFitted ? [] : [Math.abs(predictedS / medianS - 1)],
    );
    if (errors.length === 0) return [];
    const mean = errors.reduce((sum, error) => sum + error, 0) / errors.length;
    return [[kind, formatError(mean), formatError(Math.max(...errors))]];
  });
  return [
    '',
    formatTable([['what that says of the rest is off by', 'on average', 'at worst'], ...lines], '<>>'),
  ];
}
