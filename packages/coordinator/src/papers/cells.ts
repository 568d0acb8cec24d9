import type { PaperRow, PaperTable } from './paper-points.js';

/** A cell of a paper's table beside what the model says of it. */
export interface Cell {
  readonly row: string;
  readonly numRanks: number;
  readonly paper: number;
  readonly modelled: number;
  /** modelled / paper - 1. */
  readonly relativeError: number;
  /** A number of the model was chosen so that this cell comes out. */
  readonly isFitted: boolean;
}

/** What the model says where the paper's table has no cell. */
export type FurtherPoint = Pick<Cell, 'row' | 'numRanks' | 'modelled'>;

export interface Reproduction {
  readonly table: PaperTable;
  readonly cells: readonly Cell[];
  /** At the sizes that were asked for beside the table's. */
  readonly further: readonly FurtherPoint[];
  /** The numbers that were fitted, and to which cells; what else was assumed. One sentence each. */
  readonly assumptions: readonly string[];
}

/** What a table is held against. */
export interface TableModel {
  /** Cells that the model was fitted to, as `row numRanks`. */
  readonly fitted: readonly string[];
  /** The table's quantity in its unit. */
  readonly at: (row: PaperRow, numRanks: number) => Promise<number>;
}

/** The value of a cell that the table has. */
export function paperValue({ title, rows }: PaperTable, row: string, numRanks: number): number {
  const point = rows.find(({ name }) => name === row)?.points.find((each) => each.numRanks === numRanks);
  if (point === undefined) throw new RangeError(`${title} has no cell ${row}, ${numRanks}`);
  return point.value;
}

/** Every cell of a table, and every row at each of the other `sizes`, one after the other. */
export async function modelTable(
  table: PaperTable,
  sizes: readonly number[],
  { fitted, at }: TableModel,
): Promise<Pick<Reproduction, 'table' | 'cells' | 'further'>> {
  const cells: Cell[] = [];
  const further: FurtherPoint[] = [];
  for (const row of table.rows) {
    const { name, points } = row;
    for (const { numRanks, value } of points) {
      const modelled = await at(row, numRanks);
      cells.push({
        ...{ row: name, numRanks, paper: value, modelled, relativeError: modelled / value - 1 },
        isFitted: fitted.includes(`${name} ${numRanks}`),
      });
    }
    for (const numRanks of sizes) {
      if (points.some((point) => point.numRanks === numRanks)) continue;
      further.push({ row: name, numRanks, modelled: await at(row, numRanks) });
    }
  }
  return { table, cells, further };
}
