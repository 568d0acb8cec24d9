import { copy, empty, type Tensor } from '@longscan/kernels';

/** Rows [begin, end) of a tensor [n, …], as a view. */
export function rowsBetween(tensor: Tensor, begin: number, end: number): Tensor {
  const [length, ...row] = tensor.shape as [number, ...number[]];
  return tensor.view([end - begin, ...row], begin * (tensor.size / length));
}

/** `own` [n, …] after `earlier` [m, …] (null: none), as a copy; outside of autograd. */
export function joinRows(earlier: Tensor | null, own: Tensor): Tensor {
  const before = earlier?.dim(0) ?? 0;
  const [length, ...row] = own.shape as [number, ...number[]];
  const all = empty(own.device, [before + length, ...row], own.dtype);
  if (earlier !== null) copy(earlier, rowsBetween(all, 0, before));
  copy(own, rowsBetween(all, before, before + length));
  return all;
}
