import type { Device } from '@longscan/kernels';
import type { RankMesh } from '../mesh.js';
import type { Model } from '../model/model.js';
import type { Parameters } from '../model/parameters.js';
import type { Optimizer } from '../optim/optimizer.js';
import type { Carry } from '../sequence/carry.js';
import type { ModelGroup } from '../sequence/sequence-group.js';
import type { PassGraphs } from './pass-graphs.js';

/** Everything one training step works on. */
export interface Training {
  readonly device: Device;
  readonly model: Model;
  readonly parameters: Parameters;
  readonly optimizer: Optimizer;
  readonly mesh: RankMesh;
  /** Null: this rank holds whole sequences. */
  readonly sequence: ModelGroup | null;
  /** Memory that goes from each step to the next; null: every sequence begins anew. */
  readonly carry: Carry | null;
  /** What launches the passes of steps as graphs; null: all their kernels are launched one by one. */
  readonly graphs: PassGraphs | null;
}
