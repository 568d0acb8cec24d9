import type { Machine } from '../fabric/machine.js';
import type { ComputeCosts } from './compute-costs.js';

/** Costs, and where they come from. */
export interface CostsWithOrigin extends Omit<ComputeCosts, 'notes'> {
  readonly measured?:
    | { readonly date: string; readonly machine: Machine & { readonly device: string } }
    | undefined;
  /** Of costs that were not measured as they are. */
  readonly assumptions?: string;
}
