import type { FabricCost } from '@longscan/worker';
import type { ComputeCosts } from '../compute/compute-costs.js';

/** What a program runs on, as far as its length depends on it. Ranks are on hosts as `fabric.nodes` says, else all on one. */
export interface Machine extends Pick<ComputeCosts, 'ranksAtOnce' | 'slowdown'> {
  readonly fabric: FabricCost;
  /**
   * Cores of the sender's host that a message takes while it leaves, where ranks share them (`ranksAtOnce`) and messages are
   * copied by them; 0: the network moves them alone.
   */
  readonly coresPerMessage: number;
}
