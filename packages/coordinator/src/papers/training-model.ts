import { recordSchedules } from '@longscan/worker';
import type { ComputeCosts } from '../compute/compute-costs.js';
import type { Fabric } from '../fabric/fabric.js';
import { planJob } from '../plan/index.js';
import { type SimulatedStep, simulateSchedules } from '../simulate/simulate-step.js';
import { type JobInput, loadJob } from '../spec/index.js';

/** A GPU by its data sheet: dense bf16 products, and memory. */
export interface DataSheet {
  readonly name: string;
  readonly flopsPerS: number;
  readonly bytesPerS: number;
}

export const h100: DataSheet = { name: 'H100', flopsPerS: 989e12, bytesPerS: 3.35e12 };
export const a100: DataSheet = { name: 'A100', flopsPerS: 312e12, bytesPerS: 2.04e12 };

/** How a number of ranks trains one job: sequences cut over all of them, or a whole sequence each. */
export interface Training {
  readonly job: JobInput;
  readonly tokensPerRank: number;
  readonly numRanks: number;
  /** Null: data parallel. */
  readonly strategy: string | null;
}

/** What every op takes: `slowness` times what the data sheet would allow if nothing overlapped. */
export function costsOf({ name, flopsPerS, bytesPerS }: DataSheet, slowness: number): ComputeCosts {
  return {
    name: `${slowness.toPrecision(3)} x the data sheet of ${name}`,
    ops: {},
    other: { launchS: 0, secondsPerByte: slowness / bytesPerS, secondsPerFlop: slowness / flopsPerS },
    ...{ ranksAtOnce: null, slowdown: [1] },
  };
}

/** A step of a training, recorded once and simulated as often as wanted. */
export async function stepOf(
  { job, tokensPerRank, numRanks, strategy }: Training,
  fabric: Fabric,
): Promise<(costs: ComputeCosts, links?: Fabric) => SimulatedStep> {
  const isCut = strategy !== null;
  const { jobSpec } = await loadJob(job, {
    readsText: false,
    overrides: [
      'device.kind=cuda',
      `parallel.${isCut ? 'sp' : 'dp'}=${numRanks}`,
      ...(isCut ? [`parallel.strategy=${strategy}`, 'parallel.blocks=64'] : []),
      `data.sequenceLength=${isCut ? tokensPerRank * numRanks : tokensPerRank}`,
      `data.batchSize=${isCut ? 1 : numRanks}`,
    ],
  });
  const plan = await planJob(jobSpec);
  const schedules = await recordSchedules(plan, {}, { documents: false });
  return (compute, links = fabric) => simulateSchedules(schedules, plan, { fabric: links, compute });
}

/** The argument at which a growing function, nearly a straight line, has a value: by secants. */
export function solve(
  growing: (x: number) => number,
  value: number,
  from: readonly [number, number],
): number {
  let [[x0, y0], [x1, y1]] = [from[0], from[1]].map((x) => [x, growing(x)]) as [
    [number, number],
    [number, number],
  ];
  for (let i = 0; i < 20 && Math.abs(y1 / value - 1) > 1e-6 && y1 !== y0; i++) {
    const next = Math.max(x1 / 10, x1 + ((value - y1) * (x1 - x0)) / (y1 - y0));
    [x0, y0] = [x1, y1];
    [x1, y1] = [next, growing(next)];
  }
  return x1;
}
