import { activation, linear, mul, rmsNorm, type Tensor, vectorScan } from '@longscan/kernels';
import { defineLayer } from '../layer.js';
import { headSize } from '../layer-parts/head-size.js';
import { expectPositive } from '../layer-parts/layer-options.js';
import { lowerBoundedGate } from '../layer-parts/lower-bound.js';

/**
 * HGRN: a gated vector recurrence h_t = a_t ∘ h_{t-1} + (1 - a_t) ∘ silu(x_t W_i) (equation 5) with a forget gate bounded
 * from below by depth (see `lowerBoundedGate`), an RMS norm over all channels and a Swish output gate. As in the reference
 * implementation the state is real; the paper's complex one turns each channel by a data-independent angle.
 *
 * B batch, T tokens at hand, D model, C = expand·D channels.
 */
export default defineLayer({
  name: 'hgrn',
  paper: 'https://arxiv.org/abs/2311.04823',
  transition: 'scalar',
  config: { expand: 1, normEps: 1e-5 },
  create({ expand, normEps }, param) {
    expectPositive('hgrn', { normEps });
    const D = param.dModel;
    const C = headSize('hgrn', 'expand', expand, D, 1);
    const wi = param.projection('i', C, D);
    const wf = param.projection('f', C, D);
    const wg = param.projection('g', C, D);
    const forgetGate = lowerBoundedGate(param, C);
    const norm = param.tensor('norm', [C], { constant: 1 });
    const wo = param.projection('o', D, C);

    return (x, context) => {
      const { log: g, complement } = forgetGate(linear({ x, weight: wf, bias: null }));
      const input = activation('silu', linear({ x, weight: wi, bias: null }));
      let gate: Tensor = x;
      const written = mul({ a: input, b: complement }, input.dtype);
      const h = context.recurrence(vectorScan, { x: written, g }, () => {
        gate = activation('silu', linear({ x, weight: wg, bias: null }));
      });
      return linear({
        x: mul({ a: rmsNorm({ x: h, weight: norm }, normEps), b: gate }),
        weight: wo,
        bias: null,
      });
    };
  },
});
