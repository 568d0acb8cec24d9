import { type Device, openCpuDevice } from '../device.js';
import type { HostTensor } from '../recurrence-op.js';
import type { DType } from '../tensor.js';
import { type OpCheck, runOp } from './check-op.js';
import { expectClose } from './compare.js';
import { roundedTo } from './from-numbers.js';
import { tolerances } from './tolerances.js';

/**
 * What an op's CUDA kernels pass: outputs and gradients are those of its f64 CPU kernels (which `checkOp` holds against the
 * definition) on the same inputs, in f32 and in bf16.
 */
export async function checkOpOnGpu<N extends string>(device: Device, check: OpCheck<N>): Promise<void> {
  const names = Object.keys(check.inputs) as N[];
  const cpu = openCpuDevice({ poison: true });
  try {
    for (const dtype of ['f32', 'bf16'] as const) {
      const rounded = { ...check, inputs: roundedInputs(check.inputs, dtype) };
      const exact = await runOp(cpu, rounded, names, 'f64');
      const found = await runOp(device, rounded, names, dtype);
      const tolerance = dtype === 'f32' ? (check.f32Tolerance ?? tolerances.f32) : tolerances.bf16;
      const at = `${check.name} on the GPU, ${dtype}`;
      exact.outputs.forEach((output, i) => {
        expectClose(`${at}, output ${i}`, found.outputs[i]!, output, tolerance);
      });
      for (const name of names) {
        expectClose(`${at}, gradient of ${name}`, found.gradients[name], exact.gradients[name], tolerance);
      }
    }
  } finally {
    cpu.close();
  }
}

function roundedInputs<N extends string>(
  inputs: Readonly<Record<N, HostTensor>>,
  dtype: DType,
): Record<N, HostTensor> {
  const entries = Object.entries<HostTensor>(inputs).map(([name, { values, shape }]) => [
    name,
    { values: roundedTo(dtype, values), shape },
  ]);
  return Object.fromEntries(entries) as Record<N, HostTensor>;
}
