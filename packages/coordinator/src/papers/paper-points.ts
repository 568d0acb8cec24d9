import type { Mode } from '../scaling/modes.js';

/** A number of a paper, by number of GPUs. */
export interface PaperPoint {
  readonly numRanks: number;
  readonly value: number;
}

/** One row of a paper's table. */
export interface PaperRow {
  /** As the paper names it. */
  readonly name: string;
  /** What it is in longscan; null: no sequence is cut. */
  readonly strategy: string | null;
  readonly points: readonly PaperPoint[];
}

export interface PaperTable {
  readonly title: string;
  readonly source: string;
  /** As far as the paper says it. */
  readonly setting: string;
  readonly quantity: string;
  readonly unit: string;
  readonly rows: readonly PaperRow[];
}

/** Throughput per GPU over numbers of GPUs: what the curve of a job can be held against. */
export interface PaperCurves extends PaperTable {
  /** What grows with the GPUs in rows with a strategy. */
  readonly mode: Mode;
  /** Paper, model, GPUs and what stays the same, for a legend. */
  readonly short: string;
}

const zeco = 'ZeCO, arXiv 2507.01004';
const lasp2 = 'LASP-2, arXiv 2502.07563, table 6';

function row(name: string, strategy: string | null, values: Readonly<Record<number, number>>): PaperRow {
  const points = Object.entries(values).map(([numRanks, value]) => ({ numRanks: Number(numRanks), value }));
  return { name, strategy, points };
}

/** Per GPU from a table of totals. */
function shared(totals: Readonly<Record<number, number>>): Record<number, number> {
  return Object.fromEntries(Object.entries(totals).map(([gpus, total]) => [gpus, total / Number(gpus)]));
}

/** Time of the collective alone: a state of 32 heads of 128 x 128. */
export const zecoCollectives: PaperTable = {
  title: 'collective alone',
  source: zeco,
  setting: 'H100 80 GB; 8K tokens a GPU, d = 4096, 32 heads; precision and network not told',
  quantity: 'time',
  unit: 'ms',
  rows: [
    row('All-Gather', 'all-gather', { 8: 0.375, 16: 0.658, 32: 1.616, 64: 2.543, 128: 4.35, 256: 8.514 }),
    row('All-Scan', 'all-scan', { 8: 0.226, 16: 0.297, 32: 0.448, 64: 0.739, 128: 1.272, 256: 2.165 }),
  ],
};

export const zecoThroughput: PaperCurves = {
  title: 'training of GLA 1B',
  source: zeco,
  setting: 'H100 80 GB; 32K tokens a GPU; DP: data parallel, no sequence is cut',
  quantity: 'throughput per GPU',
  unit: 'tokens/s',
  mode: 'weak',
  short: 'arXiv 2507.01004, GLA 1B, H100, 32K tokens a GPU',
  rows: [
    row('DP', null, { 8: 49_633, 64: 48_230, 128: 47_848, 256: 46_588 }),
    row('ZeCO', 'all-scan', { 8: 47_369, 64: 44_468, 128: 43_278, 256: 40_967 }),
    row('LASP-2', 'all-gather', { 8: 42_946, 64: 37_485, 128: 33_327, 256: 25_402 }),
    row('LASP-1', 'ring', { 8: 27_014, 64: 12_268 }),
  ],
};

const linearLlama3 = {
  title: 'training of Linear-Llama3-1B',
  source: lasp2,
  quantity: 'throughput per GPU',
  unit: 'tokens/s',
} as const;

/** Lengths of 256K to 2048K: 16K tokens a GPU. */
export const lasp2WeakScaling: PaperCurves = {
  ...linearLlama3,
  setting: 'A100 80 GB, hosts of 8; 16K tokens a GPU, 16 layers, 16 heads, hidden size 2048',
  mode: 'weak',
  short: 'arXiv 2502.07563, Linear-Llama3 1B, A100, 16K tokens a GPU',
  rows: [row('LASP-2', 'all-gather', shared({ 16: 135_635, 32: 250_586, 64: 442_221, 128: 769_030 }))],
};

/** The same model at lengths that stay the same. */
const lasp2StrongScaling: PaperCurves = {
  ...linearLlama3,
  setting: 'A100 80 GB, hosts of 8; 16 layers, 16 heads, hidden size 2048',
  mode: 'strong',
  short: 'arXiv 2502.07563, Linear-Llama3 1B, A100',
  rows: [
    row('LASP-2, 256K', 'all-gather', shared({ 16: 135_635, 32: 132_605, 64: 130_215, 128: 131_550 })),
    row('LASP-2, 512K', 'all-gather', shared({ 32: 250_586, 64: 245_353, 128: 233_442 })),
  ],
};

/** Everything that is a scaling curve. */
export const paperCurves: readonly PaperCurves[] = [zecoThroughput, lasp2WeakScaling, lasp2StrongScaling];
