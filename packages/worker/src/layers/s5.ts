import { activation, add, affine, linear, ltiScan, mul, mulAlong, reshape } from '@longscan/kernels';
import { defineLayer } from '../layer.js';
import { discretise, firstSteps, pairs } from '../layer-parts/diagonal-ssm.js';
import { spectrum } from '../layer-parts/hippo.js';
import { expectCount } from '../layer-parts/layer-options.js';

const op = ltiScan('complex');

/** Real parts of A stay below this: a mode that grows cannot be trained on long sequences. */
const largestRealPart = -1e-4;

/**
 * S5: one complex diagonal state space model over all channels, h' = Λ h + B x, y = 2 Re(C h) + D x under a zero-order hold
 * (equations 5 to 7), of which one of each conjugate pair is kept; then GELU and, as in the reference implementation,
 * y ∘ σ(y W + b). Λ starts as `numBlocks` copies of the spectrum of HiPPO-LegS' normal part; B and C as what the
 * reference's change to its eigenvectors, which is unitary, makes of random matrices.
 *
 * B batch, T tokens at hand, D model, P = stateSize / 2 modes. `b` holds the rows of Re B, then those of Im B; `c` the
 * columns of Re C, then those of -Im C.
 */
export default defineLayer({
  name: 's5',
  paper: 'https://arxiv.org/abs/2208.04933',
  transition: 'fixed-complex',
  config: { stateSize: 64, numBlocks: 1 },
  create({ stateSize, numBlocks }, param) {
    const perBlock = stateSize / numBlocks / 2;
    expectCount('s5', { numBlocks, 'stateSize / numBlocks / 2': perBlock });
    const [D, P] = [param.dModel, stateSize / 2];
    const frequencies = spectrum('legs', perBlock);
    const realPart = param.tensor('lambda_re', [P], { constant: -0.5 });
    const frequency = param.tensor('lambda_im', [P], { each: (index) => frequencies[index % perBlock]! });
    const logStep = param.tensor('log_step', [P], firstSteps);
    const inward = param.projection('b', 2 * P, D, { normal: (2 * D) ** -0.5 });
    const outward = param.projection('c', D, 2 * P, { normal: stateSize ** -0.5 });
    const skip = param.tensor('d', [D], { normal: 1 });
    const gate = param.projection('gate.weight', D, D);
    const gateBias = param.tensor('gate.bias', [D], { constant: 0 });

    return (x, context) => {
      const excess = activation('relu', affine(realPart, -1, largestRealPart));
      const A = pairs(affine(excess, -1, largestRealPart), frequency);
      const { logLambda, weight } = discretise('zero-order-hold', A, logStep);
      const h = context.recurrence(op, {
        u: linear({ x, weight: inward, bias: null }),
        logLambda: reshape(logLambda, [P, 1, 2]),
        w: reshape(weight, [P, 1, 2]),
      });
      const y = linear({ x: h, weight: outward, bias: null });
      const active = activation('gelu', add({ a: y, b: mulAlong({ a: x, b: skip }, -1, x.dtype) }));
      const open = activation('sigmoid', linear({ x: active, weight: gate, bias: gateBias }));
      return mul({ a: active, b: open });
    };
  },
});
