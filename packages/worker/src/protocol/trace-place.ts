/** Folder of a run folder that holds the ranks' traces. */
export const traceFolder = 'traces';

/** A rank's file in it. */
export const traceName = (rank: number): string => `rank-${rank}.json`;

export const traceHeaderVersion = 1;
