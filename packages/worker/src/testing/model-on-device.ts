import { crossEntropy, type Device, fromArray } from '@longscan/kernels';
import { randomSource } from '@longscan/kernels/testing';
import { sliceContexts } from '../model/layer-context.js';
import { loadLayers } from '../model/load-layers.js';
import { createModel, parameterSpecs } from '../model/model.js';
import { Parameters, type Precision } from '../model/parameters.js';
import type { JobSpec } from '../protocol/job-spec.js';

const numSequences = 2;

/** Loss of a model and the gradients of its parameters, by name. */
export interface ModelGradients {
  readonly loss: number;
  readonly gradients: ReadonlyMap<string, Float64Array>;
}

/**
 * One forward and backward pass over `numTokens` random tokens of two sequences. `values`, if given, are those of the
 * parameters by name, else they are drawn and put there: so two devices see the same.
 */
export async function modelGradients(
  device: Device,
  spec: JobSpec['model'],
  precision: Precision,
  values: Map<string, Float32Array>,
  numTokens: number,
): Promise<ModelGradients> {
  const layers = await loadLayers(spec);
  const parameters = new Parameters(device, parameterSpecs(spec, layers), { precision });
  if (values.size === 0) {
    parameters.initialise(7);
    for (const { name } of parameters.specs) {
      values.set(name, (await parameters.valuesOf(name).read()) as Float32Array);
    }
  }
  for (const { name } of parameters.specs) parameters.write(name, values.get(name)!);
  const model = createModel(spec, layers, parameters);
  const next = randomSource(3);
  const shape = [numSequences, numTokens] as const;
  const draw = () =>
    Int32Array.from({ length: numSequences * numTokens }, () => Math.floor(spec.vocabSize * next()));
  const [tokens, labels] = [draw(), draw()].map((drawn) => fromArray(device, drawn, shape, 'i32'));
  parameters.startGradients();
  const { result: loss, tape } = device.record(() =>
    device.scope(() => {
      const hidden = model.forward(tokens!, sliceContexts(null, null));
      return crossEntropy({ hidden, weight: model.head, labels: labels! }, 1 / labels!.size);
    }),
  );
  tape.backward([loss], [fromArray(device, [1], [1])]);
  parameters.finishGradients();
  const gradients = new Map<string, Float64Array>();
  for (const [name, { gradient }] of parameters.byName) gradients.set(name, await gradient!.readNumbers());
  return { loss: (await loss.readNumbers())[0]!, gradients };
}
