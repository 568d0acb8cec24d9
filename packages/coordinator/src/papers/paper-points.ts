/** A number of a paper, by number of GPUs. */
export interface PaperPoint {
  readonly numRanks: number;
  readonly value: number;
}

/** One row of a paper's table. */
export interface PaperRow {
  /** As the paper names it. */
  readonly name: string;
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

const zeco = 'ZeCO, arXiv 2507.01004';
const lasp2 = 'LASP-2, arXiv 2502.07563, table 6';

function row(name: string, values: Readonly<Record<number, number>>): PaperRow {
  const points = Object.entries(values).map(([numRanks, value]) => ({ numRanks: Number(numRanks), value }));
  return { name, points };
}

/** Time of the collective alone: a state of 32 heads of 128 x 128. */
export const zecoCollectives: PaperTable = {
  title: 'collective alone',
  source: zeco,
  setting: 'H100 80 GB; 8K tokens a GPU, d = 4096, 32 heads; precision and network not told',
  quantity: 'time',
  unit: 'ms',
  rows: [
    row('All-Gather', { 8: 0.375, 16: 0.658, 32: 1.616, 64: 2.543, 128: 4.35, 256: 8.514 }),
    row('All-Scan', { 8: 0.226, 16: 0.297, 32: 0.448, 64: 0.739, 128: 1.272, 256: 2.165 }),
  ],
};

export const zecoThroughput: PaperTable = {
  title: 'training of GLA 1B',
  source: zeco,
  setting: 'H100 80 GB; 32K tokens a GPU; DP: data parallel, no sequence is cut',
  quantity: 'throughput per GPU',
  unit: 'tokens/s',
  rows: [
    row('DP', { 8: 49_633, 64: 48_230, 128: 47_848, 256: 46_588 }),
    row('ZeCO', { 8: 47_369, 64: 44_468, 128: 43_278, 256: 40_967 }),
    row('LASP-2', { 8: 42_946, 64: 37_485, 128: 33_327, 256: 25_402 }),
    row('LASP-1', { 8: 27_014, 64: 12_268 }),
  ],
};

/** Lengths of 256K to 2048K: 16K tokens a GPU; totals of the table over GPUs. */
export const lasp2WeakScaling: PaperTable = {
  title: 'training of Linear-Llama3-1B',
  source: lasp2,
  setting: 'A100 80 GB, hosts of 8; 16K tokens a GPU, 16 layers, 16 heads, hidden size 2048',
  quantity: 'throughput per GPU',
  unit: 'tokens/s',
  rows: [
    row('LASP-2', {
      16: 135_635 / 16,
      32: 250_586 / 32,
      64: 442_221 / 64,
      128: 769_030 / 128,
    }),
  ],
};
