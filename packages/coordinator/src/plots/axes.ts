import type { AxisScale } from './chart.js';

const bases = { log2: 2, log10: 10 } as const;

/** A scale as Vega-Lite names it; `zero`: a linear one begins there. */
export function scaleOf(scale: AxisScale, zero: boolean): Readonly<Record<string, unknown>> {
  return scale === 'linear' ? { type: 'linear', zero } : { type: 'log', base: bases[scale] };
}

/** Ticks and their labels: whole powers on a logarithmic axis, `512`, `16K`, `1M` on one of base 2. */
export function axisOf(scale: AxisScale, values: readonly number[]): Readonly<Record<string, unknown>> {
  if (scale === 'log2') return { values: powers(2, values), labelExpr: binaryLabel };
  if (scale === 'log10') return { values: powers(10, values), labelExpr: decimalLabel };
  return { tickCount: 6, labelExpr: decimalLabel };
}

/** `0.5`, `200`, `60k`: a prefix only where it shortens. */
const decimalLabel = "format(datum.value, abs(datum.value) >= 1000 ? '~s' : '~g')";

/** Lengths are counted in K = 1024 tokens, as everybody does; ranks below that as they are. */
const binaryLabel =
  "datum.value >= 1048576 ? format(datum.value / 1048576, '~r') + 'M' : datum.value >= 1024 ? format(datum.value / 1024, '~r') + 'K' : format(datum.value, '~r')";

/** The powers from the one below the smallest value to the one above the largest; every second or third if they are many. */
function powers(base: number, values: readonly number[]): number[] {
  if (values.length === 0) return [1];
  const exponent = (value: number) => Math.log(value) / Math.log(base);
  const first = Math.floor(exponent(Math.min(...values)) + 1e-9);
  const last = Math.ceil(exponent(Math.max(...values)) - 1e-9);
  const stride = Math.ceil((last - first + 1) / 12);
  return Array.from(
    { length: Math.floor((last - first) / stride) + 1 },
    (_, i) => base ** (first + i * stride),
  );
}
