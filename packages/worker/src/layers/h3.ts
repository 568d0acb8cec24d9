import { add, linear, mul, mulAlong, type Tensor } from '@longscan/kernels';
import { defineLayer } from '../layer.js';
import { diagonalSsm } from '../layer-parts/diagonal-ssm.js';
import { uniformWithin } from '../layer-parts/initial-values.js';
import { expectCount } from '../layer-parts/layer-options.js';

/**
 * H3: y = q ∘ SSM_diag(SSM_shift(k) ∘ v) (section 3.1) with heads of one channel. The shift model remembers the last
 * `shiftSize` keys: a causal convolution (its `shift.conv` in the order of time, the token's own last) plus `shift.d` times
 * the key. The diagonal one is S4D's, discretised by the bilinear method as in the reference implementation, with trained
 * input weights.
 *
 * B batch, T tokens at hand, D model; `stateSize` counts both of a conjugate pair.
 */
export default defineLayer({
  name: 'h3',
  paper: 'https://arxiv.org/abs/2212.14052',
  transition: 'fixed-complex',
  config: { stateSize: 64, shiftSize: 64 },
  create({ stateSize, shiftSize }, param) {
    expectCount('h3', { shiftSize, 'stateSize / 2': stateSize / 2 });
    const D = param.dModel;
    const project = (name: string) => {
      const weight = param.projection(`${name}.weight`, D, D);
      const bias = param.tensor(`${name}.bias`, [D], { constant: 0 });
      return (x: Tensor) => linear({ x, weight, bias });
    };
    const query = project('q');
    const key = project('k');
    const value = project('v');
    const shift = param.tensor('shift.conv', [D, shiftSize], uniformWithin(shiftSize ** -0.5));
    const shiftSkip = param.tensor('shift.d', [D], { normal: 1 });
    const model = diagonalSsm(param, {
      stateSize,
      spectrum: 'lin',
      discretisation: 'bilinear',
      hasInputWeights: true,
    });
    const output = project('out');

    return (x, context) => {
      const k = key(x);
      const shifted = add({
        a: context.causalConv1d(k, shift),
        b: mulAlong({ a: k, b: shiftSkip }, -1, k.dtype),
      });
      const y = model(mul({ a: shifted, b: value(x) }), context);
      return output(mul({ a: query(x), b: y }));
    };
  },
});
