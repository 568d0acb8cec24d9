import { type Device, openCpuDevice } from '../device.js';
import type { HostTensor } from '../recurrence-op.js';
import type { DType } from '../tensor.js';
import { type OpCheck, runOp } from './check-op.js';
import { expectClose } from './compare.js';
import { roundedTo } from './from-numbers.js';
import { isRehearsal } from './rehearsal.js';
import { tolerances } from './tolerances.js';

type Types<N extends string> = Readonly<Record<N, DType>>;

/**
 * What an op's CUDA kernels pass: outputs and gradients are those of its f64 CPU kernels (which `checkOp` holds against the
 * definition) on the same inputs, in f32, in bf16, and with inputs of the types in each of `mixed`.
 */
export async function checkOpOnGpu<N extends string>(
  device: Device,
  check: OpCheck<N>,
  mixed: readonly Types<N>[] = [],
): Promise<void> {
  const names = Object.keys(check.inputs) as N[];
  const alike = (dtype: DType) => Object.fromEntries(names.map((name) => [name, dtype])) as Types<N>;
  const cpu = openCpuDevice({ poison: true });
  try {
    for (const types of [alike('f32'), alike('bf16'), ...mixed]) {
      const rounded = { ...check, inputs: roundedInputs(check.inputs, types) };
      const found = await runOp(device, rounded, names, types);
      if (isRehearsal) continue;
      const exact = await runOp(cpu, rounded, names, 'f64');
      const isSingle = names.every((name) => types[name] === 'f32');
      const tolerance = isSingle ? (check.f32Tolerance ?? tolerances.f32) : tolerances.bf16;
      const at = `${check.name} on the GPU, ${[...new Set(Object.values(types))].join(' with ')}`;
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
  types: Types<N>,
): Record<N, HostTensor> {
  const entries = Object.entries<HostTensor>(inputs).map(([name, { values, shape }]) => [
    name,
    { values: roundedTo(types[name as N], values), shape },
  ]);
  return Object.fromEntries(entries) as Record<N, HostTensor>;
}

/** For two inputs: bf16 with f32, either way round. */
export const eitherWay = [
  { a: 'bf16', b: 'f32' },
  { a: 'f32', b: 'bf16' },
] as const;
