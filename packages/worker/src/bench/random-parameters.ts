import { fill } from '@longscan/kernels';
import { initialValues } from '../model/init.js';
import type { Parameters } from '../model/parameters.js';
import { fillRandom } from './random-tensor.js';

/**
 * Initial values as the model declares them, for measurements: normal numbers repeat within a parameter, so that a billion of
 * them are there in a moment. The same on every rank.
 */
export function drawParameters(parameters: Parameters, seed: number): void {
  for (const [index, spec] of parameters.specs.entries()) {
    const tensor = parameters.byName.get(spec.name)!;
    const { init } = spec;
    if ('constant' in init) fill(tensor, init.constant);
    else if ('normal' in init) fillRandom(tensor, seed + index, (x) => init.normal * x);
    else tensor.write(initialValues(spec, seed, tensor.dtype));
  }
}
