import { type ActivationName, activation, linear, type Tensor } from '@longscan/kernels';
import type { Init, ParameterDeclarer } from '../layer.js';

export interface LowRankOptions {
  readonly out: number;
  readonly rank: number;
  /** Between the two projections; default: nothing. */
  readonly activation?: ActivationName;
  /** How the bias of the second one starts; null: none. */
  readonly bias: Init | null;
  /** How the projections start; default as every projection. */
  readonly down?: Init;
  readonly up?: Init;
}

/** Two projections through a narrow middle, `<name>.down`, `<name>.up` and `<name>.bias`: [B, T, D] to [B, T, out]. */
export function lowRank(
  param: ParameterDeclarer,
  name: string,
  options: LowRankOptions,
): (x: Tensor) => Tensor {
  const { out, rank } = options;
  const down = param.projection(`${name}.down`, rank, param.dModel, options.down);
  const up = param.projection(`${name}.up`, out, rank, options.up);
  const bias = options.bias && param.tensor(`${name}.bias`, [out], options.bias);
  return (x) => {
    const narrow = linear({ x, weight: down, bias: null });
    const middle = options.activation ? activation(options.activation, narrow) : narrow;
    return linear({ x: middle, weight: up, bias });
  };
}
