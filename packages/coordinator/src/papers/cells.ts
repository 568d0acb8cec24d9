import type { PaperTable } from './paper-points.js';

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

export interface Reproduction {
  readonly table: PaperTable;
  readonly cells: readonly Cell[];
  /** The numbers that were fitted, and to which cells; what else was assumed. One sentence each. */
  readonly assumptions: readonly string[];
}

/** The value of a cell that the table has. */
export function paperValue({ title, rows }: PaperTable, row: string, numRanks: number): number {
  const point = rows.find(({ name }) => name === row)?.points.find((each) => each.numRanks === numRanks);
  if (point === undefined) throw new RangeError(`${title} has no cell ${row}, ${numRanks}`);
  return point.value;
}

/** Every cell of a table, one after the other. `fitted`: those that the model was fitted to, as `row numRanks`. */
export async function cellsOf(
  table: PaperTable,
  fitted: readonly string[],
  model: (row: string, numRanks: number) => Promise<number>,
): Promise<Cell[]> {
  const cells: Cell[] = [];
  for (const { name, points } of table.rows) {
    for (const { numRanks, value } of points) {
      const modelled = await model(name, numRanks);
      cells.push({
        ...{ row: name, numRanks, paper: value, modelled, relativeError: modelled / value - 1 },
        isFitted: fitted.includes(`${name} ${numRanks}`),
      });
    }
  }
  return cells;
}
