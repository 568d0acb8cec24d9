import {
  activation,
  add,
  complexFunction,
  complexMul,
  concatLast,
  ltiScan,
  mulAlong,
  reshape,
  scale,
  type Tensor,
} from '@longscan/kernels';
import type { ParameterDeclarer } from '../layer.js';
import { type SpectrumName, spectrum } from './hippo.js';
import { logOfStep } from './initial-values.js';
import type { ContextFunction } from './short-conv.js';

/** Range of the steps Δ that all of S4's descendants start with. */
export const firstSteps = logOfStep(1e-3, 1e-1);

export type Discretisation = 'zero-order-hold' | 'bilinear';

/** What a recurrence over samples needs of a continuous diagonal model. */
export interface DiscreteModel {
  /** log λ, like A. */
  readonly logLambda: Tensor;
  /** Weight of the input, like A; doubled, for the real part of one mode of a conjugate pair is half of the pair. */
  readonly weight: Tensor;
}

/** The model h' = A h + u, A [C, .., 2] as (re, im) with re < 0, sampled at steps Δ = exp(logStep), [C]. */
export function discretise(method: Discretisation, A: Tensor, logStep: Tensor): DiscreteModel {
  const step = activation('exp', logStep);
  const z = mulAlong({ a: A, b: step }, 0);
  const [logLambda, ratio] =
    method === 'bilinear'
      ? [complexFunction('bilinear-log', z), complexFunction('bilinear-ratio', z)]
      : [z, complexFunction('hold-ratio', z)];
  return { logLambda, weight: mulAlong({ a: ratio, b: scale(step, 2) }, 0) };
}

/** Real and imaginary parts [..] as pairs [.., 2]. */
export function pairs(re: Tensor, im: Tensor): Tensor {
  const shape = [...re.shape, 1];
  return concatLast([reshape(re, shape), reshape(im, shape)]);
}

export interface DiagonalSsmOptions {
  /** Numbers of real state per channel: half as many conjugate pairs. */
  readonly stateSize: number;
  readonly spectrum: SpectrumName;
  readonly discretisation: Discretisation;
  /** Whether the weights B of the input are trained too; otherwise they are 1. */
  readonly hasInputWeights: boolean;
}

const op = ltiScan('real');

/** Decay towards zero would change the spectrum, not the size of what it describes. */
const fixedScale = { weightDecay: false };

/**
 * S4D per channel: y = 2 Re Σ_n C_n h_n + D u with h' = A h + B u, from u [B, T, C] to [B, T, C] with C the model's width.
 * Parameters `kernel.c`, `kernel.log_dt`, `kernel.log_a_real`, `kernel.a_imag`, `kernel.b` if trained, and `d`.
 */
export function diagonalSsm(param: ParameterDeclarer, options: DiagonalSsmOptions): ContextFunction {
  const C = param.dModel;
  const numModes = options.stateSize / 2;
  const frequencies = spectrum(options.spectrum, numModes);
  // Complex normal numbers of variance 1.
  const outputs = param.tensor('kernel.c', [C, numModes, 2], { normal: Math.SQRT1_2 });
  const logStep = param.tensor('kernel.log_dt', [C], firstSteps);
  const logDecay = param.tensor('kernel.log_a_real', [C, numModes], { constant: Math.log(0.5) }, fixedScale);
  const frequency = param.tensor(
    'kernel.a_imag',
    [C, numModes],
    {
      each: (index) => frequencies[index % numModes]!,
    },
    fixedScale,
  );
  const inputs = options.hasInputWeights
    ? param.tensor('kernel.b', [C, numModes, 2], { each: (index) => 1 - (index % 2) }, fixedScale)
    : null;
  const skip = param.tensor('d', [C], { normal: 1 });

  return (u, context) => {
    const A = pairs(activation('exp', logDecay, -1), frequency);
    const { logLambda, weight } = discretise(options.discretisation, A, logStep);
    const readout = inputs === null ? outputs : complexMul({ a: outputs, b: inputs });
    const y = context.recurrence(op, { u, logLambda, w: complexMul({ a: readout, b: weight }) });
    return add({ a: y, b: mulAlong({ a: u, b: skip }, -1, u.dtype) });
  };
}
