import { axpy, type Device, type DType, emptyLike } from '@longscan/kernels';
import type { LayerFunction, LayerPlace } from '../../layer.js';
import { declarer } from '../../model/declared-parameters.js';
import { initialise } from '../../model/init.js';
import { Parameters } from '../../model/parameters.js';
import { parameterSpecs, prefix, type Variant } from './variant.js';

/** A layer on one device. */
export interface BuiltLayer {
  readonly apply: LayerFunction;
  readonly parameters: Parameters;
}

const seed = 7;
/** Added to parameters that do not start at random: at 0 or 1 a missing factor would not show. */
const noiseDeviation = 0.1;

/** The same parameters on every device. */
export function buildLayer(device: Device, variant: Variant, place: LayerPlace, dtype: DType): BuiltLayer {
  const specs = parameterSpecs(variant, place);
  const parameters = new Parameters(device, specs, { dtype });
  parameters.initialise(seed);
  for (const spec of specs) {
    if ('normal' in spec.init) continue;
    const parameter = parameters.byName.get(spec.name)!;
    device.scope(() => {
      const noise = emptyLike(parameter);
      initialise(noise, { ...spec, init: { normal: noiseDeviation } }, seed);
      axpy(1, noise, parameter);
    });
  }
  const { layer, config, dModel } = variant;
  return { parameters, apply: layer.create(config, declarer(parameters, prefix, dModel, place)) };
}
