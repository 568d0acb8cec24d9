import { formatTable } from '../format.js';
import type { Chart, Series } from '../plots/chart.js';
import type { Reproduction } from './cells.js';

/** A table for people: each cell of the paper, what the model says, and how far off that is. */
export function formatReproduction({ table, cells, further, assumptions }: Reproduction): string {
  const header = ['', 'GPUs', `paper, ${table.unit}`, `modelled, ${table.unit}`, 'off', ''];
  const lines = cells.map(({ row, numRanks, paper, modelled, relativeError, isFitted }) => [
    row,
    String(numRanks),
    number(paper),
    number(modelled),
    `${relativeError < 0 ? '' : '+'}${(100 * relativeError).toFixed(1)} %`,
    isFitted ? 'fitted' : '',
  ]);
  const beyond = further.map(({ row, numRanks, modelled }) => [row, String(numRanks), '', number(modelled)]);
  const others = cells
    .filter(({ isFitted }) => !isFitted)
    .map(({ relativeError }) => Math.abs(relativeError));
  const mean = others.reduce((sum, error) => sum + error, 0) / others.length;
  return [
    `${table.source}: ${table.title}, ${table.quantity} (${table.setting})`,
    formatTable([header, ...lines, ...beyond], '<>>>><'),
    `mean |off| of the ${others.length} cells that nothing was fitted to: ${(100 * mean).toFixed(1)} %`,
    ...assumptions.map((assumption) => `- ${assumption}`),
  ].join('\n');
}

/** The paper's points filled, the modelled curve over them hollow and dashed. */
export function reproductionChart({ table, cells, further }: Reproduction): Chart {
  const series = table.rows.flatMap(({ name }): Series[] => {
    const own = cells.filter(({ row }) => row === name);
    const beyond = further.filter(({ row }) => row === name);
    const modelled = [...own, ...beyond].sort((a, b) => a.numRanks - b.numRanks);
    return [
      { name, points: own.map(({ numRanks, paper }) => ({ x: numRanks, y: paper })) },
      { name, modelled: true, points: modelled.map((each) => ({ x: each.numRanks, y: each.modelled })) },
    ];
  });
  return {
    title: `${table.source}: ${table.title}`,
    subtitle: 'filled: the paper; hollow: modelled',
    x: { label: 'GPUs', scale: 'log2' },
    y: {
      label: table.quantity,
      unit: table.unit,
      ...(table.unit === 'ms' ? { scale: 'log10' as const } : {}),
    },
    series,
  };
}

function number(value: number): string {
  return value >= 1000 ? Math.round(value).toLocaleString('en-US') : value.toPrecision(3);
}
