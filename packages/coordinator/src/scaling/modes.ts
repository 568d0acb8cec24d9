/** What grows with the number of ranks; curves of different modes are never mixed. */
export const modes = ['strong', 'weak', 'batch'] as const;

export type Mode = (typeof modes)[number];

/** One point of a curve, as the user names it and as it is run. */
export interface CurvePoint {
  /** Names its curve: tokens of a sequence at `sp` = 1. */
  readonly length: number;
  readonly sp: number;
  /** Tokens of a sequence as it is run. */
  readonly sequenceLength: number;
  /** Sequences of a step. */
  readonly batchSize: number;
}

/** The sizes of a curve over `sp` for each length: at `sp` = 1 all modes run the same. */
export function curvePoints(
  mode: Mode,
  sps: readonly number[],
  lengths: readonly number[],
  batchSize: number,
): CurvePoint[] {
  return lengths.flatMap((length) =>
    sps.map((sp) => ({
      ...{ length, sp },
      sequenceLength: mode === 'weak' ? length * sp : length,
      batchSize: mode === 'batch' ? batchSize * sp : batchSize,
    })),
  );
}

export const modeTitles: Readonly<Record<Mode, string>> = {
  strong: 'strong scaling',
  weak: 'sequence-weak scaling',
  batch: 'batch-weak scaling',
};

/** What a curve keeps and what it lets grow. */
export const modeDefinitions: Readonly<Record<Mode, string>> = {
  strong:
    'Strong: every point runs the same sequences; each rank of a sequence holds length / sp tokens of it.',
  weak: 'Sequence-weak: the sequence grows with the ranks; each rank holds `length` tokens of it at every sp.',
  batch:
    'Batch-weak: the batch grows with the ranks at the same sequence length; each rank holds the same number of tokens in total at every sp.',
};

export const metricDefinitions: readonly string[] = [
  'Step time: from the start of a training step (forward, backward, gradient reduction, optimizer) to the start of the next one, on rank 0.',
  'Throughput: real tokens of all sequences of a step, padding not counted, over the step time.',
  "Efficiency: throughput per rank over throughput per rank at the curve's smallest sp that was measured.",
  'Exposed communication: time of a step in which compute waited for sequence-parallel communication, the largest over the ranks; its share is of the median step time.',
  'Memory per rank: the most that tensors took at once, largest over the ranks; what kernels and libraries take for themselves comes on top. Modelled: what the plan says.',
  'Spread: 5th and 95th percentile over the timed steps of all launches that count; of three or more launches the one with the lowest and the one with the highest median do not.',
];

/** What the points of one curve share, for a legend. */
export function curveName(mode: Mode, length: number): string {
  return `${length.toLocaleString('en-US')} tokens${mode === 'weak' ? ' per rank' : ''}`;
}
