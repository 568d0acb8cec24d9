import { activation, affine, linear, mesa, reshape, type Tensor } from '@longscan/kernels';
import { defineLayer } from '../layer.js';
import { headOutput } from '../layer-parts/head-output.js';
import { headSize } from '../layer-parts/head-size.js';
import { expectCount, expectPositive } from '../layer-parts/layer-options.js';
import { convolvedHeads } from '../layer-parts/short-conv.js';

/** What every regulariser starts with. */
const firstLambda = 1;

/**
 * MesaNet: the regularised least-squares map from keys to values so far, at the query:
 * Hkk_t = γ_t Hkk_{t-1} + β_t k_t k_tᵀ, Hkv_t = γ_t Hkv_{t-1} + β_t v_t k_tᵀ, o_t = Hkv_t (Hkk_t + Λ)⁻¹ q_t (equation 5, the
 * mesa rule), γ = σ(x W_a + b_a) and β = σ(x W_b + b_b) per head, Λ = softplus(λ) + lambdaLowerBound per head and key
 * channel. q and k pass a short convolution and SiLU and are of length one; norm per head; no output gate unless
 * `useGate`. The systems are solved exactly, where the paper runs a fixed number of conjugate gradient steps.
 *
 * B batch, T tokens at hand, D model, H heads, K = expandK·D/H, V = expandV·D/H.
 */
export default defineLayer({
  name: 'mesanet',
  paper: 'https://arxiv.org/abs/2506.05233',
  transition: 'scalar',
  config: {
    numHeads: 4,
    expandK: 1,
    expandV: 1,
    convSize: 4,
    lambdaLowerBound: 0.25,
    useGate: false,
    normEps: 1e-5,
  },
  create(config, param) {
    const { numHeads: H, convSize, lambdaLowerBound, normEps } = config;
    const D = param.dModel;
    expectCount('mesanet', { convSize });
    expectPositive('mesanet', { lambdaLowerBound, normEps });
    const K = headSize('mesanet', 'expandK', config.expandK, D, H);
    const V = headSize('mesanet', 'expandV', config.expandV, D, H);
    const query = convolvedHeads(param, 'q', [H], K, convSize, { unit: true });
    const key = convolvedHeads(param, 'k', [H], K, convSize, { unit: true });
    const wv = param.projection('v', H * V, D);
    const wa = param.projection('a', H, D);
    const aBias = param.tensor('a.bias', [H], { constant: 0 });
    const wb = param.projection('b', H, D);
    const bBias = param.tensor('b.bias', [H], { constant: 0 });
    // Its softplus is 1 less the bound; where the bound is above that, it starts just over the bound.
    const excess = Math.max(firstLambda - lambdaLowerBound, 1e-3);
    const start = { constant: Math.log(Math.expm1(excess)) };
    const logits = param.tensor('lambda', [H, K], start, { weightDecay: false });
    const wg = config.useGate ? param.projection('g', H * V, D) : null;
    const gate = wg && ((x: Tensor) => linear({ x, weight: wg, bias: null }));
    const output = headOutput(param, { numHeads: H, size: V, normEps, gate });

    return (x, context) => {
      const [B, T] = x.shape as [number, number, number];
      const inputs = {
        q: query(x, context),
        k: key(x, context),
        v: reshape(linear({ x, weight: wv, bias: null }), [B, T, H, V]),
        beta: activation('sigmoid', linear({ x, weight: wb, bias: bBias }), 1, { wide: true }), // [B, T, H]
        // [B, T, H], log decay, <= 0
        g: activation('log-sigmoid', linear({ x, weight: wa, bias: aBias }), 1, { wide: true }),
        lambda: affine(activation('softplus', logits), 1, lambdaLowerBound), // [H, K], > 0
      };
      return output(x, (meanwhile) => context.recurrence(mesa, inputs, meanwhile));
    };
  },
});
