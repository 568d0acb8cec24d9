import type { ForwardCall } from '../../autograd/define-op.js';
import type { Tensor } from '../../tensor.js';
import type { DeltaRuleInputs } from './inputs.js';

/** Room for the gradient of every input, and the tensors' numbers in the order of the native functions. */
export function emptyGradients(call: ForwardCall, { q, k, v, beta, g, b, e }: DeltaRuleInputs) {
  const like = ({ shape, dtype }: Tensor) => call.empty(shape, dtype);
  const gradients = {
    ...{ q: like(q), k: like(k), v: like(v) },
    ...{ beta: beta && like(beta), g: g && like(g), b: b && like(b), e: e && like(e) },
  };
  const [ofBeta, ofG, ofB, ofE] = [gradients.beta, gradients.g, gradients.b, gradients.e];
  const optional = [ofBeta?.id ?? null, ofG?.id ?? null, ofB?.id ?? null, ofE?.id ?? null] as const;
  return { gradients, ids: [gradients.q.id, gradients.k.id, gradients.v.id, ...optional] as const };
}
