import { defineOp } from '../../autograd/define-op.js';
import { paddedForGpu } from '../../padded-for-gpu.js';
import type { Tensor } from '../../tensor.js';
import './native.js';

/**
 * `taylor`: φ(q)·φ(k) = 1 + s + s²/2 with s = q·k/√K (Based, https://arxiv.org/abs/2402.18668, section 3.2), 1 + K +
 * K(K+1)/2 features. `square`: φ(q)·φ(k) = (q·k)²/K (ReBased, https://arxiv.org/abs/2402.10644), K(K+1)/2 features.
 */
export type FeatureMapKind = 'taylor' | 'square';

/** Features of a row of K elements. */
export function numFeatures(kind: FeatureMapKind, K: number): number {
  return (kind === 'taylor' ? 1 + K : 0) + (K * (K + 1)) / 2;
}

/**
 * x [..., K] to its quadratic features [..., numFeatures]: the constant and the linear part if there is one, the squares,
 * then the products x_i x_j with i < j, i outer. A product that occurs twice in s² stands here once, times √2. On a GPU
 * zeros follow, up to a multiple of 8, which the recurrences there want of a head's size.
 */
export function featureMap(kind: FeatureMapKind, x: Tensor): Tensor {
  return featureMapOp({ x }, { kind });
}

/** hasLinear, and the factors of the linear part, the squares and the products. */
function factors(kind: FeatureMapKind, K: number): readonly [boolean, number, number, number] {
  if (kind === 'square') return [false, 0, K ** -0.5, (2 / K) ** 0.5];
  return [true, K ** -0.25, (2 * K) ** -0.5, K ** -0.5];
}

const featureMapOp = defineOp<{ x: Tensor }, { kind: FeatureMapKind }>({
  name: 'feature-map',
  forward(call, { x }, { kind }) {
    const K = x.dim(-1);
    const columns = paddedForGpu(call.device, numFeatures(kind, K));
    const output = call.empty([...x.shape.slice(0, -1), columns], x.dtype);
    call.native.featureMapForward(call.stream, ...factors(kind, K), x.id, output.id);
    call.device.flops += output.size;
    return { output, save: { x } };
  },
  backward(call, saved, dy, { kind }) {
    const x = saved.x!;
    const dx = call.empty(x.shape, x.dtype);
    call.native.featureMapBackward(call.stream, ...factors(kind, x.dim(-1)), x.id, dy.id, dx.id);
    call.device.flops += 4 * dy.size;
    return { x: dx };
  },
});
