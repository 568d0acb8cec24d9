import { type Device, openCpuDevice } from '../device.js';
import type { RecurrenceInputs } from '../recurrence-op.js';
import type { DType } from '../tensor.js';
import { checkKept } from './check-kept.js';
import { exactGround, expectSame, type Ground, runSliced, runWhole } from './check-slices.js';
import { expectClose, expectSameBits } from './compare.js';
import { fromNumbers, roundedTo } from './from-numbers.js';
import {
  hostInputs,
  initialState,
  type RecurrenceCheck,
  type RecurrenceInput,
} from './recurrence-problem.js';
import { isRehearsal } from './rehearsal.js';
import { tolerances } from './tolerances.js';

export interface GpuTypes {
  /** Of the inputs named in `typed`, and of the output; all others are f32. */
  readonly dtype: 'f32' | 'bf16';
  readonly typed: readonly string[];
  /** Gradients that are differences of large sums: those of log decays. */
  readonly decays: readonly string[];
  /** Without slices, where there is no kernel for a slice's summary. */
  readonly whole?: boolean;
  /** Slices are cut once more with cheap outputs made again, which must give the same bits. */
  readonly keepsCheap?: boolean;
}

/**
 * What a recurrence's CUDA kernels pass: output and every gradient, whole and cut into slices whose states pass through
 * `applyTransition`, are those of the f64 CPU kernels on the same inputs (which `checkRecurrence` holds against the
 * definition), and are the same bits when everything runs again. What is kept for them is as large as plans count.
 */
export async function checkRecurrenceOnGpu<I extends RecurrenceInputs>(
  device: Device,
  check: RecurrenceCheck<I>,
  types: GpuTypes,
): Promise<void> {
  const ground = gpuGround(device, types);
  const rounded = roundedCheck(check, ground);
  if (isRehearsal) {
    await runWhole(ground, rounded);
    if (!types.whole) await runSliced(ground, rounded);
    if (types.keepsCheap) await remaking(device, () => runSliced(ground, rounded));
    checkKept(device, check.op, (on) => inputsOn(on, rounded, ground), !types.whole);
    return;
  }
  const name = `${check.name} on the GPU, ${types.dtype}`;
  const cpu = openCpuDevice({ threads: 2, poison: true });
  try {
    const exact = await runWhole(exactGround(cpu), rounded);
    const reference = check.op.reference(hostInputs(rounded, {}), check.resets ?? null, rounded.h0!);
    expectClose(`${check.name}: output`, exact.output, reference.output, tolerances.f64);

    const found = await runWhole(ground, rounded);
    expectSame(name, found, exact, ground);
    expectSameBits(`${name}, again`, await runWhole(ground, rounded), found);
    if (!types.whole) {
      const cut = await runSliced(ground, rounded);
      expectSame(`${name}, cut`, cut, exact, ground);
      if (types.keepsCheap) {
        const remade = await remaking(device, () => runSliced(ground, rounded));
        expectSameBits(`${name}, cut, cheap outputs made again`, remade, cut);
      }
    }
    checkKept(device, check.op, (on) => inputsOn(on, rounded, ground), !types.whole);
  } finally {
    cpu.close();
  }
}

async function remaking<R>(device: Device, run: () => Promise<R>): Promise<R> {
  device.remakesCheapOutputs = true;
  try {
    return await run();
  } finally {
    device.remakesCheapOutputs = false;
  }
}

function gpuGround(device: Device, { dtype, typed, decays }: GpuTypes): Ground {
  const isExact = dtype === 'f32';
  return {
    device,
    dtypeOf: (name): DType => (typed.includes(name) ? dtype : 'f32'),
    toleranceOf: (name) => {
      if (decays.includes(name)) return isExact ? tolerances.f32Decay : tolerances.bf16Decay;
      return isExact ? tolerances.f32Decay : tolerances.bf16;
    },
  };
}

/** The check on inputs as the GPU's types hold them. */
function roundedCheck<I extends RecurrenceInputs>(
  check: RecurrenceCheck<I>,
  { dtypeOf }: Ground,
): RecurrenceCheck<I> {
  const entries = Object.entries<RecurrenceInput | null>(check.inputs).map(([name, input]) => [
    name,
    input && { ...input, values: roundedTo(dtypeOf(name), input.values) },
  ]);
  const h0 = roundedTo('f32', initialState(check).values);
  return { ...check, inputs: Object.fromEntries(entries) as typeof check.inputs, h0 };
}

function inputsOn<I extends RecurrenceInputs>(
  device: Device,
  { inputs }: RecurrenceCheck<I>,
  { dtypeOf }: Ground,
): I {
  const entries = Object.entries<RecurrenceInput | null>(inputs).map(([name, input]) => [
    name,
    input && fromNumbers(device, input.values, input.shape, dtypeOf(name)),
  ]);
  return Object.fromEntries(entries) as I;
}
