import type { Reproduction } from './cells.js';
import { reproduceThroughput, reproduceWeakScaling } from './trainings.js';
import { reproduceCollectives } from './zeco-collectives.js';

/** By the name of their charts: tables of papers, with what the model says of each cell, and of each row at other sizes. */
export const reproductions: Readonly<Record<string, (sizes: readonly number[]) => Promise<Reproduction>>> = {
  'zeco-collectives': reproduceCollectives,
  'zeco-throughput': reproduceThroughput,
  'lasp2-weak-scaling': reproduceWeakScaling,
};
