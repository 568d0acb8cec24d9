import { formatBytes, formatTable } from '../format.js';
import { htmlCharts, htmlDetails, htmlList, htmlPage, htmlTable, type Section } from '../plots/html-page.js';
import { describeMachine } from './machine.js';
import { curveName, type Mode, metricDefinitions, modeDefinitions, modeTitles } from './modes.js';
import type { Scaling } from './scaling-file.js';
import type { Measured, ScalingRow, Spread } from './summary.js';

/** The HTML page of a curve; `svgs` are its charts, drawn. */
export function scalingReport(
  scaling: Scaling,
  rows: readonly ScalingRow[],
  svgs: readonly string[],
  notes: readonly string[],
): string {
  const { mode, job, machine, numSteps, numWarmUps } = scaling;
  const failures = rows.flatMap(({ length, sp, error }) =>
    error === null ? [] : [[curveName(mode, length), String(sp), error.message]],
  );
  const facts = [
    ['machine', describeMachine(machine)],
    ['ranks computed on', devicesOf(scaling)],
    ['longscan', `${scaling.longscan}, Node.js ${machine.node}`],
    ['begun', scaling.createdAt],
    [
      'each launch',
      `${numWarmUps} steps to warm up, then ${numSteps} timed, on random tokens in place of a text`,
    ],
    ...simulatedWith(scaling),
    ['job', `${job.file}, hash ${job.hash.slice(0, 16)}`],
  ];
  const sections: Section[] = [
    { title: 'Curves', body: htmlCharts(svgs) },
    { title: 'Points', body: htmlTable(header, rows.map(cells), alignment) },
    ...(failures.length === 0
      ? []
      : [{ title: 'Failed points', body: htmlTable(['curve', 'sp', 'error'], failures, '<><') }]),
    { title: 'Measured on', body: htmlTable([], facts) },
    { title: 'Definitions', body: htmlList([...definitionsOf(mode), ...notes]) },
    { title: 'Job', body: htmlDetails('every value, at sp = 1 and the first length', job.text) },
  ];
  return htmlPage(`${job.spec.job.name}: ${modeTitles[mode]}`, describeMachine(machine), sections);
}

export function definitionsOf(mode: Mode): readonly string[] {
  return [modeDefinitions[mode], ...metricDefinitions];
}

/** The points of a curve for a terminal: medians, and the spread of the step time. */
export function formatScaling(rows: readonly ScalingRow[]): string {
  const header = ['curve', 'sp', 'step, ms', 'tokens/s', 'efficiency', 'exposed', 'sent a step', 'memory'];
  const lines = rows.map(({ mode, length, sp, measured, error }) => {
    const point = [curveName(mode, length), String(sp)];
    if (measured === null) return [...point, `failed: ${error?.code ?? 'not measured'}`];
    const { stepMs, tokensPerSecond, efficiency, exposedShare, spBytesSent, peakBytesByRank } = measured;
    return [
      ...point,
      withSpread(stepMs, milliseconds),
      count(Math.round(tokensPerSecond.median)),
      percent(efficiency.median),
      percent(exposedShare.median),
      formatBytes(spBytesSent),
      `${formatBytes(Math.max(...peakBytesByRank))}${error === null ? '' : `  then failed: ${error.code}`}`,
    ];
  });
  return formatTable([header, ...lines], '<>>>>>>>');
}

const header = [
  ...['curve', 'sp', 'ranks', 'sequence', 'batch', 'strategy', 'step, ms', 'tokens/s'],
  ...[
    'efficiency',
    'exposed',
    'sent a step',
    'memory',
    'memory, planned',
    'step, simulated, ms',
    'loss',
    'launches',
  ],
];
const alignment = '<>>>><>>>>>>>>>>';

function cells(row: ScalingRow): string[] {
  const { mode, length, sp, numRanks, sequenceLength, batchSize, strategy, prediction } = row;
  return [
    ...[
      curveName(mode, length),
      String(sp),
      String(numRanks),
      count(sequenceLength),
      String(batchSize),
      strategy,
    ],
    ...(row.measured === null ? Array(6).fill('failed') : measuredCells(row.measured)).slice(0, 6),
    formatBytes(prediction.peakBytes),
    row.predicted === null ? '' : milliseconds(row.predicted.stepMs),
    row.measured === null ? '' : row.measured.loss.toPrecision(6),
    `${row.measured?.numLaunches ?? 0}${row.error === null ? '' : ', then failed'}`,
  ];
}

function measuredCells(measured: Measured): string[] {
  const { stepMs, tokensPerSecond, efficiency, exposedShare, spBytesSent, peakBytesByRank } = measured;
  return [
    withSpread(stepMs, milliseconds),
    withSpread(tokensPerSecond, (value) => count(Math.round(value))),
    withSpread(efficiency, percent),
    withSpread(exposedShare, percent),
    formatBytes(spBytesSent),
    formatBytes(Math.max(...peakBytesByRank)),
  ];
}

/** `12.3 (11.9–13.0)` */
function withSpread({ median, low, high }: Spread, format: (value: number) => string): string {
  return `${format(median)} (${format(low)}–${format(high)})`;
}

function milliseconds(value: number): string {
  return value.toPrecision(4);
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)}%`;
}

function count(value: number): string {
  return value.toLocaleString('en-US');
}

function devicesOf({ points }: Scaling): string {
  const names = points.flatMap(({ launches }) =>
    launches.map(({ device }) =>
      device.device === 'cuda'
        ? String(device.name)
        : `CPU (${device.level}), ${device.threads} threads a rank`,
    ),
  );
  return names.length === 0 ? 'nothing' : [...new Set(names)].join('; ');
}

function simulatedWith({ points }: Scaling): string[][] {
  const names = points.flatMap(({ modelled: { step } }) =>
    step === null ? [] : [`${step.compute}; ${step.fabric}`],
  );
  return names.length === 0 ? [] : [['simulated with', [...new Set(names)].join(', ')]];
}
