import type { FabricCost } from '@longscan/worker';

/** The links between ranks, by the name that plans call them. */
export interface Fabric extends FabricCost {
  readonly name: string;
  /** What whoever relies on these numbers has to know, one sentence each: that they are assumptions, or another machine's. */
  readonly notes?: readonly string[];
}
