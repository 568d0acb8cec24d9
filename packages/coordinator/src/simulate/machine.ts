import type { FabricCost } from '@longscan/worker';
import type { ComputeCosts } from '../compute/compute-costs.js';
import type { Engine } from './engine.js';

/** What a program runs on, as far as its length depends on it. Ranks are on hosts as `fabric.nodes` says, else all on one. */
export interface Machine extends Pick<ComputeCosts, 'ranksAtOnce' | 'slowdown'> {
  readonly fabric: FabricCost;
  /**
   * Cores of the sender's host that a message takes while it leaves, where ranks share them (`ranksAtOnce`) and messages are
   * copied by them; 0: the network moves them alone.
   */
  readonly coresPerMessage: number;
  /** What a message costs a core of either end's host before it leaves and after it has come; left out: nothing. */
  readonly overheadS?: number;
}

/**
 * Cores that a message on its way takes where both its ends are copied by them, for the built-in engine: from sums and gathers
 * of 64 MiB on 2 cores with 2 and with 4 ranks, docs/benchmarks/cpu-collectives_2-core-epyc_2026-11.md.
 */
const coresPerMessage = 1.25;

/** Hosts with these costs and links. */
export function machineOf(
  engine: Engine,
  { fabric, compute }: { readonly fabric: FabricCost; readonly compute: ComputeCosts },
): Machine {
  const { ranksAtOnce, slowdown } = compute;
  return { fabric, ranksAtOnce, slowdown, coresPerMessage: engine === 'tcp' ? coresPerMessage : 0 };
}
