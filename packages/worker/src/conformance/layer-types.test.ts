import { type Device, type DType, empty, fromArray, type Tensor } from '@longscan/kernels';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Layer, ParameterDeclarer } from '../layer.js';
import { sliceContexts } from '../model/layer-context.js';
import { deepPlace, type Variant, variantsOf } from './layer/variant.js';
import { openTypedDevice } from './testing/typed-device.js';
import { importUnits } from './unit-files.js';

const layers = await importUnits<Layer>(new URL('../layers/', import.meta.url));

/** Parameters as training in bf16 has them: matrices of projections are rounded, everything else and all gradients f32. */
function bf16Declarer(device: Device, dModel: number): ParameterDeclarer {
  const parameter = (shape: readonly number[], dtype: DType): Tensor => {
    const tensor = empty(device, shape, dtype);
    tensor.requiresGrad = true;
    tensor.gradient = empty(device, shape);
    return tensor;
  };
  return {
    dModel,
    layer: deepPlace,
    tensor: (_name, shape) => parameter(shape, 'f32'),
    projection: (_name, out, input) => parameter([out, input], 'bf16'),
    constant: (_name, values, shape) => fromArray(device, values, shape),
  };
}

function runInBf16({ layer, config, dModel }: Variant): Tensor {
  const device = openTypedDevice();
  const apply = layer.create(config, bf16Declarer(device, dModel));
  const shape = [2, 4 * (layer.sliceMultiple?.(config) ?? 4), dModel];
  const x = empty(device, shape, 'bf16');
  x.requiresGrad = true;
  const context = sliceContexts(null, null).forLayer(0);
  const { result: output, tape } = device.record(() => device.scope(() => apply(x, context)));
  const [gradient] = tape.backward([output], [empty(device, output.shape, output.dtype)], [x]);
  assert.is(gradient!.dtype, 'bf16', 'the gradient of x');
  return output;
}

for (const layer of layers.values()) {
  for (const variant of variantsOf(layer)) {
    test(`${layer.name}, ${variant.label} ~> in bf16 it gives each op types that a GPU's kernels take, and bf16`, () => {
      assert.is(runInBf16(variant).dtype, 'bf16');
    });
  }
}

test('a call with tensors of two types is refused', () => {
  const device = openTypedDevice();
  const [a, b] = [empty(device, [4, 8], 'bf16'), empty(device, [2, 8])];
  assert.throws(
    () => device.native.linearForward(device.compute.id, a.id, b.id, null, empty(device, [4, 2]).id),
    /^error\[E-DTYPE\] linearForward: tensors of bf16, f32, f32, expected one type/,
  );
});

test.run();
