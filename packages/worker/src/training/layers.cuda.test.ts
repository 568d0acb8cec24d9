import { type Device, openCpuDevice } from '@longscan/kernels';
import { expectClose, relativeRms, roundedTo } from '@longscan/kernels/testing';
import { testOnGpu } from '@longscan/kernels/testing/gpu';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { importUnits } from '../conformance/unit-files.js';
import type { Layer } from '../layer.js';
import { type JobSpec, jobSpecSchema } from '../protocol/job-spec.js';
import { type ModelGradients, modelGradients } from '../testing/model-on-device.js';

// Every layer in a model on a GPU: in f32 what the CPU gives, in bf16 close to it.

// A GPU host has no oneDNN.
process.env.LONGSCAN_GEMM ??= 'builtin';

const layers = await importUnits<Layer>(new URL('../layers/', import.meta.url));
/** No multiple of a chunk, where a layer allows it. */
const numTokens = 144;
/** Of each gradient to that of the CPU. */
const f32Tolerance = 2e-3;
type Options = Readonly<Record<string, number | string | boolean>>;
/** ReBased's normaliser of the first token is a square, here 8e-5, which features of size 1 add up to: 1 % of it would be rounding. */
const options: Readonly<Record<string, Options>> = { rebased: { normalizerEps: 1 } };
/** What kernels take as it is projected. */
const plainLinear: Options = { featureMap: 'identity', normalize: false, outputNorm: true };
/** Of all gradients together in bf16, or so many times what rounding the weights alone does to them on the CPU. */
const [bf16Tolerance, roundings] = [0.1, 6];

function modelOf(use: string, options: Options): JobSpec['model'] {
  const model = { dModel: 128, numLayers: 2, numHeads: 2, vocabSize: 96, mlp: 128, tieEmbeddings: false };
  const layers = [0, 1].map(() => ({ use, options, file: null }));
  return jobSpecSchema.parse({ model: { ...model, layers }, data: { path: 'unused' } }).model;
}

async function onCpu(spec: JobSpec['model'], values: Map<string, Float32Array>): Promise<ModelGradients> {
  const device = openCpuDevice({ threads: 2 });
  try {
    return await modelGradients(device, spec, 'f32', values, numTokens);
  } finally {
    device.close();
  }
}

async function checkLayer(device: Device, name: string, options: Options): Promise<void> {
  const spec = modelOf(name, options);
  const values = new Map<string, Float32Array>();
  const expected = await onCpu(spec, values);
  const single = await modelGradients(device, spec, 'f32', values, numTokens);
  assert.ok(
    Math.abs(single.loss / expected.loss - 1) < 1e-5,
    `loss ${single.loss}, expected ${expected.loss}`,
  );
  for (const [parameter, gradient] of expected.gradients) {
    expectClose(`${parameter}, f32`, single.gradients.get(parameter)!, gradient, f32Tolerance);
  }
  const rounded = await modelGradients(device, { ...spec, precision: 'bf16' }, 'bf16', values, numTokens);
  assert.ok(
    Math.abs(rounded.loss / expected.loss - 1) < 1e-2,
    `bf16 loss ${rounded.loss}, expected ${expected.loss}`,
  );
  const all = ({ gradients }: ModelGradients) =>
    Float64Array.from([...expected.gradients.keys()].flatMap((parameter) => [...gradients.get(parameter)!]));
  const roundedValues = new Map(
    [...values].map(([name, own]) => [name, Float32Array.from(roundedTo('bf16', own))]),
  );
  const ofRounding = relativeRms(all(await onCpu(spec, roundedValues)), all(expected));
  const error = relativeRms(all(rounded), all(expected));
  const allowed = Math.max(bf16Tolerance, roundings * ofRounding);
  assert.ok(error < allowed, `bf16 gradients differ by ${error}, relative; allowed ${allowed}`);
}

const cases = [...layers.keys()].map((name): [string, Options] => [name, options[name] ?? {}]);
for (const [name, chosen] of [...cases, ['linear-attention', plainLinear] as const].sort()) {
  const shown = Object.keys(chosen).length > 0 ? ` ${JSON.stringify(chosen)}` : '';
  testOnGpu(`${name}${shown} ~> loss and gradients on the GPU are those of the CPU`, (device) =>
    checkLayer(device, name, chosen),
  );
}

test.run();
