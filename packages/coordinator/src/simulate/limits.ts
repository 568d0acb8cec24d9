/** As many ranks of a job as are simulated. */
export const mostRanks = 4096;
