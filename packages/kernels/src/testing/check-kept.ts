import { isDeepStrictEqual } from 'node:util';
import { forwardCall } from '../autograd/define-op.js';
import { type Device, openShapeDevice } from '../device.js';
import type { Kept, RecurrenceInputs, RecurrenceOp } from '../recurrence-op.js';
import { dtypeBytes, type Tensor } from '../tensor.js';

/**
 * What a recurrence keeps on a GPU from the forward to the backward pass of a slice, alone and between others, is what plans
 * count. `hasSummary`: false where there is no kernel for what goes between; slices of an opaque kind have nothing between.
 */
export function checkKept<I extends RecurrenceInputs>(
  gpu: Device,
  op: RecurrenceOp<I>,
  inputsOn: (device: Device) => I,
  hasSummary = true,
): void {
  const shapes = openShapeDevice();
  shapes.standsForGpu = true;
  const [planned, found] = [shapes, gpu].map((device) => keptBytes(device, op, inputsOn, hasSummary)) as [
    number[],
    number[],
  ];
  // Plans are for Hopper; kernels of other GPUs may keep less.
  const isPlanned =
    gpu.gpu().capability === 90
      ? isDeepStrictEqual(planned, found)
      : found.every((bytes, i) => bytes <= planned[i]!);
  if (!isPlanned) throw new Error(`${op.name}: keeps ${found} bytes, planned ${planned}`);
}

/** Of a slice alone, and of one between others. */
function keptBytes<I extends RecurrenceInputs>(
  device: Device,
  op: RecurrenceOp<I>,
  inputsOn: (device: Device) => I,
  hasSummary: boolean,
): number[] {
  return device.scope(() => {
    const inputs = inputsOn(device);
    const { result } = device.record(() => {
      const call = forwardCall(device);
      const alone = bytesBeside(op.forward(call, inputs, null, null));
      if (!hasSummary || op.transition === 'opaque') return [alone];
      const prepared = op.prepare(call, inputs, null);
      op.summarize(call, inputs, null, prepared);
      return [alone, bytesBeside(op.finish(call, inputs, null, prepared, null))];
    });
    return result;
  });
}

/** The output is kept by others, too. */
function bytesBeside({ output, kept }: { readonly output: Tensor; readonly kept: Kept }): number {
  const tensors = Object.values(kept).filter((tensor) => tensor !== null && tensor !== output) as Tensor[];
  return tensors.reduce((sum, { size, dtype }) => sum + size * dtypeBytes[dtype], 0);
}
