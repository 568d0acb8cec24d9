import type { FabricCost } from '@longscan/worker';
import type { PlanFabric } from '@longscan/worker/protocol';

/** The links between ranks, by the name that plans call them. */
export interface Fabric extends FabricCost {
  readonly name: string;
  /** Of links that were measured for this plan. */
  readonly probe?: PlanFabric['probe'];
  /** What whoever relies on these numbers has to know, one sentence each: that they are assumptions, or another machine's. */
  readonly notes?: readonly string[];
}
