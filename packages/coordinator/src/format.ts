const byteUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** `1.5 MiB` */
export function formatBytes(bytes: number): string {
  const power = bytes < 1 ? 0 : Math.min(byteUnits.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 1024 ** power;
  return `${power === 0 ? value : value.toFixed(1)} ${byteUnits[power]}`;
}

/** `1.2M`, for counts of parameters and operations. */
export function formatCount(count: number): string {
  const units = ['', 'K', 'M', 'G', 'T', 'P'];
  const power = count < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(count) / 3));
  const value = count / 1000 ** power;
  return `${power === 0 ? value : value.toPrecision(3)}${units[power]}`;
}

/** `3.21 ms`, `1.5 s` */
export function formatSeconds(seconds: number): string {
  if (seconds === 0) return '0';
  if (seconds < 1e-3) return `${(seconds * 1e6).toPrecision(3)} us`;
  return seconds < 1 ? `${(seconds * 1e3).toPrecision(3)} ms` : `${seconds.toPrecision(3)} s`;
}

/** `12.3 %` of a whole. */
export function formatPercent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

/** `0.123 %`, for errors, whose sizes are far apart. */
export function formatError(relative: number): string {
  return `${(100 * relative).toPrecision(3)} %`;
}

/** A GPU's name, or what a CPU's kernels are made for and its `threads`, such as `threads a rank`. */
export function formatMachine(machine: Readonly<Record<string, unknown>>, threads = 'threads'): string {
  if (machine.device === 'cuda') return String(machine.name);
  return `CPU (${machine.level}), ${machine.threads} ${threads}`;
}

/** Rows as columns as wide as their widest cell; `align` has `<` or `>` per column, `<` where it has none. */
export function formatTable(rows: readonly (readonly string[])[], align = ''): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length);
  }
  const pad = (cell: string, i: number) =>
    align[i] === '>' ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0);
  return rows.map((row) => row.map(pad).join('  ').trimEnd()).join('\n');
}
