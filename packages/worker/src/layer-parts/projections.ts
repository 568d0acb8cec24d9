import { linear, reshape, type Tensor } from '@longscan/kernels';
import type { ParameterDeclarer } from '../layer.js';

/** The projection `<name>` without a bias: x [B, T, D] to [B, T, out]. */
export function projection(param: ParameterDeclarer, name: string, out: number): (x: Tensor) => Tensor {
  const weight = param.projection(name, out, param.dModel);
  return (x) => linear({ x, weight, bias: null });
}

/** The same, cut into heads: x [B, T, D] to [B, T, numHeads, size]. */
export function headsProjection(
  param: ParameterDeclarer,
  name: string,
  numHeads: number,
  size: number,
): (x: Tensor) => Tensor {
  const project = projection(param, name, numHeads * size);
  return (x) => reshape(project(x), [x.dim(0), x.dim(1), numHeads, size]);
}
