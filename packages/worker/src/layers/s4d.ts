import { activation, linear, mul, splitLast, type Tensor } from '@longscan/kernels';
import { defineLayer } from '../layer.js';
import { diagonalSsm } from '../layer-parts/diagonal-ssm.js';
import type { SpectrumName } from '../layer-parts/hippo.js';
import { expectCount } from '../layer-parts/layer-options.js';

/**
 * S4D: per channel a diagonal complex state space model h' = A h + u, y = 2 Re(C h) + D u under a zero-order hold (equations
 * 2 and 4), GELU, and a projection with a gated linear unit. The imaginary parts of A start as π n (`lin`) or as the
 * spectrum of HiPPO-LegS' normal part (`legs`), the real ones as -1/2, the steps between 1e-3 and 1e-1.
 *
 * B batch, T tokens at hand, D model; `stateSize` counts both of a conjugate pair.
 */
export default defineLayer({
  name: 's4d',
  paper: 'https://arxiv.org/abs/2206.11893',
  transition: 'fixed-complex',
  config: { stateSize: 64, spectrum: 'lin' },
  choices: { spectrum: ['lin', 'legs'] },
  create({ stateSize, spectrum }, param) {
    expectCount('s4d', { 'stateSize / 2': stateSize / 2 });
    const D = param.dModel;
    const model = diagonalSsm(param, {
      stateSize,
      spectrum: spectrum as SpectrumName,
      discretisation: 'zero-order-hold',
      hasInputWeights: false,
    });
    const weight = param.projection('out.weight', 2 * D, D);
    const bias = param.tensor('out.bias', [2 * D], { constant: 0 });

    return (x, context) => {
      const y = activation('gelu', model(x, context));
      const [value, gate] = splitLast(linear({ x: y, weight, bias }), [D, D]) as [Tensor, Tensor];
      return mul({ a: value, b: activation('sigmoid', gate) });
    };
  },
});
