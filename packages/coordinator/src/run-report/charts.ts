import type { StepRow } from '@longscan/worker/protocol';
import type { Chart, Series } from '../plots/chart.js';
import type { RunHistory } from './run-history.js';
import { thin } from './thin.js';

const x = { label: 'step', scale: 'linear' } as const;
const bytesPerMiB = 2 ** 20;

/** The charts of a run over its steps. Values that were not finite or are not known are left out, and charts of nothing else. */
export function runCharts({ steps, validations }: RunHistory): Chart[] {
  const curve = (name: string, value: (row: StepRow) => number | null): Series => ({
    name,
    points: thin(
      steps.flatMap((row) => {
        const y = value(row);
        return y === null || !Number.isFinite(y) ? [] : [{ x: row.step, y }];
      }),
    ),
  });
  const validation: Series = {
    name: 'validation',
    points: validations.flatMap(({ step, validationLoss }) =>
      validationLoss === null ? [] : [{ x: step, y: validationLoss }],
    ),
  };
  const bigram = validations.find(({ bigramEntropy }) => bigramEntropy !== null)?.bigramEntropy ?? null;
  const ends = [steps[0]?.step ?? 0, steps.at(-1)?.step ?? 0];
  const baseline: Series[] =
    bigram === null
      ? []
      : [{ name: 'bigram entropy', ideal: true, points: ends.map((at) => ({ x: at, y: bigram })) }];
  const share = ({ spExposedMs, stepMs }: StepRow) =>
    spExposedMs === null || stepMs === 0 ? null : (100 * spExposedMs) / stepMs;

  const charts: Chart[] = [
    {
      ...{ title: 'Loss', x, y: { label: 'loss', unit: 'nats per token', zero: false } },
      series: [curve('training', ({ loss }) => loss), validation, ...baseline],
    },
    {
      ...{ title: 'Gradient norm', x, y: { label: 'global norm before clipping', unit: '' } },
      series: [curve('gradient norm', ({ gradNorm }) => gradNorm)],
    },
    {
      ...{ title: 'Throughput', x, y: { label: 'throughput', unit: 'tokens/s' } },
      series: [curve('all ranks', ({ tokensPerSecond }) => tokensPerSecond)],
    },
    {
      ...{ title: 'Step time', x, y: { label: 'step', unit: 'ms' } },
      series: [curve('slowest rank', ({ stepMs }) => stepMs)],
    },
    {
      ...{ title: 'Exposed communication', x, y: { label: 'share of a step', unit: '%' } },
      series: [curve('rank with the most', share)],
    },
    {
      ...{ title: 'Memory', x, y: { label: 'most in use at once', unit: 'MiB' } },
      series: [curve('rank with the most', ({ peakBytes }) => peakBytes / bytesPerMiB)],
    },
    {
      ...{ title: 'Learning rate', x, y: { label: 'learning rate', unit: '' } },
      series: [curve('learning rate', ({ lr }) => lr)],
    },
  ];
  return charts
    .map((chart) => ({ ...chart, spread: 'band' as const, series: chart.series.filter(hasPoints) }))
    .filter(({ series }) => series.some(({ ideal }) => ideal !== true));
}

function hasPoints({ points }: Series): boolean {
  return points.length > 0;
}
