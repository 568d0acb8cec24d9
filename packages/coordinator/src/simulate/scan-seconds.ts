import { recordScan, type ScannedState } from '@longscan/worker';
import type { Fabric } from '../fabric/fabric.js';
import type { Engine } from './engine.js';
import { programsOf } from './programs-of.js';
import { simulate } from './simulate.js';

export interface Scan {
  readonly strategy: string;
  readonly state: ScannedState;
  readonly numRanks: number;
  /** For `all-scan`. */
  readonly blocks: number;
  readonly engine: Engine;
}

/** Time of one scan, nothing overlapped and nothing calculated: the messages alone, on links that copy without cores. */
export async function scanSeconds(
  { strategy, state, numRanks, blocks, engine }: Scan,
  fabric: Fabric,
): Promise<number> {
  const ranksPerNode = Math.min(numRanks, fabric.nodes?.ranksPerNode ?? numRanks);
  const schedules = await recordScan(strategy, state, numRanks, { blocks, ranksPerNode });
  const mesh = { sp: numRanks, dp: 1, numRanks };
  const programs = programsOf(schedules, { mesh, engine, fabric, secondsOf: () => 0 });
  return simulate(programs, { fabric, ranksAtOnce: null, slowdown: [1], coresPerMessage: 0 }).seconds;
}
