import { formatPercent, formatSeconds, formatTable } from '../format.js';
import type { ComputeFile } from './compute-file.js';

/** What was measured and how well it is fitted, for people. */
export function formatCosts({ name, ops, slowdown, enqueueS, measured }: ComputeFile): string {
  const shapes = measured?.shapes ?? [];
  const rows = shapes.map(({ B, T, dModel, numLayers, measuredS, fittedS, relativeError }) => [
    `${B} x ${T}`,
    `${numLayers} x ${dModel}`,
    formatSeconds(measuredS),
    formatSeconds(fittedS),
    formatPercent(relativeError),
  ]);
  const lines = [
    `${name}: costs of ${Object.keys(ops).length} native functions`,
    '',
    formatTable([['tokens', 'layers x width', 'measured', 'fitted', 'error'], ...rows], '<<>>>'),
  ];
  if (measured !== undefined) {
    const { meanRelativeError, worstRelativeError } = measured;
    lines.push(
      '',
      `error: ${formatPercent(meanRelativeError)} on average, ${formatPercent(worstRelativeError)} at worst`,
    );
  }
  if (enqueueS !== undefined) lines.push(`the host takes ${formatSeconds(enqueueS)} of a core for each call`);
  const last = slowdown.at(-1)!;
  if (slowdown.length > 1)
    lines.push(`${slowdown.length} ranks at once: each op takes ${last.toFixed(2)} times as long`);
  return lines.join('\n');
}
