import type { Communicator } from '@longscan/kernels';

/** A group that this rank belongs to. */
export interface MeshGroup {
  /** Its name, another than those of all other groups of the job. */
  readonly axis: string;
  /** In the group's order; more than one. */
  readonly ranks: readonly number[];
  /** Whether states go from rank to rank in it. */
  readonly hasChains: boolean;
}

/** Connects one of this rank's groups; `signal` aborts it, then and later. */
export type ConnectGroup = (group: MeshGroup, signal: AbortSignal) => Promise<Communicator>;
