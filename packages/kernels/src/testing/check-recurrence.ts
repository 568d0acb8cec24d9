import { runRecurrence } from '../autograd/run-recurrence.js';
import { openShapeDevice } from '../device.js';
import type { HostTensor, RecurrenceInputs, RecurrenceOp } from '../recurrence-op.js';
import { empty, fromArray, type Tensor } from '../tensor.js';
import { checkOp } from './check-op.js';
import { checkSlices } from './check-slices.js';
import { randomNormal } from './random.js';

/** One input of a recurrence. */
export interface RecurrenceInput extends HostTensor {
  /** `token`: [B, T, …], cut with the sequence; `shared`: the same on every slice; `fixed`: that, and not differentiable. */
  readonly role: 'token' | 'shared' | 'fixed';
}

export interface RecurrenceCheck<I extends RecurrenceInputs> {
  readonly name: string;
  readonly op: RecurrenceOp<I>;
  /** By the op's input names; null for one that this kind does not have. */
  readonly inputs: { readonly [K in keyof I]: RecurrenceInput | null };
  /** [B, T], 1 where a document starts. */
  readonly resets?: Int32Array | null;
  /** State that enters, [B, H, R, N]; default: normal. */
  readonly h0?: Float64Array;
  /** Whether the last state is differentiable as it is stored; not where it is scaled by a running maximum. */
  readonly hasStateGradient?: boolean;
  /** Tokens of each slice; default: three that nothing divides. */
  readonly lengths?: readonly number[];
  readonly f32Tolerance?: number;
  readonly maxElements?: number;
}

/**
 * What every recurrence passes: it equals its definition, and so do its gradients, whole (see `checkOp`), and cut into
 * slices whose states pass through `applyTransition`, as between ranks.
 */
export async function checkRecurrence<I extends RecurrenceInputs>(check: RecurrenceCheck<I>): Promise<void> {
  await checkWhole(check);
  await checkSlices(check);
}

/** [B, T] of a check, from its first input that is cut with the sequence. */
export function sizesOf<I extends RecurrenceInputs>({
  inputs,
}: RecurrenceCheck<I>): { B: number; T: number } {
  const token = Object.values<RecurrenceInput | null>(inputs).find((input) => input?.role === 'token');
  const [B, T] = token!.shape as [number, number];
  return { B, T };
}

function checkWhole<I extends RecurrenceInputs>(check: RecurrenceCheck<I>): Promise<void> {
  const { name, op, inputs, hasStateGradient = true } = check;
  const { B, T } = sizesOf(check);
  const resets = check.resets ?? null;
  const entries = Object.entries<RecurrenceInput | null>(inputs);
  const learned = entries.filter(([, input]) => input !== null && input.role !== 'fixed');
  const h0 = initialState(check);
  return checkOp<string>({
    name,
    inputs: { ...Object.fromEntries(learned), h0 } as Record<string, HostTensor>,
    op: (tensors, device) => {
      const given = entries.map(([key, input]): [string, Tensor | null] => [
        key,
        input && (tensors[key] ?? fromArray(device, input.values, input.shape, tensors.h0!.dtype)),
      ]);
      const { output, finalState } = runRecurrence(op, Object.fromEntries(given) as unknown as I, {
        resets: resets && fromArray(device, resets, [B, T], 'i32'),
        h0: tensors.h0!,
      });
      return hasStateGradient ? [output, finalState] : [output];
    },
    reference: (values) => {
      const given = entries.map(([key, input]): [string, HostTensor | null] => [
        key,
        input && { values: values[key] ?? input.values, shape: input.shape },
      ]);
      const host = Object.fromEntries(given) as unknown as { [K in keyof I]: HostTensor | null };
      const { output, finalState } = op.reference(host, resets, values.h0!);
      return hasStateGradient ? [output, finalState] : [output];
    },
    ...(check.f32Tolerance !== undefined && { f32Tolerance: check.f32Tolerance }),
    ...(check.maxElements !== undefined && { maxElements: check.maxElements }),
  });
}

/** The state that enters, in the shape that the op gives it. */
export function initialState<I extends RecurrenceInputs>({ op, inputs, h0 }: RecurrenceCheck<I>): HostTensor {
  const device = openShapeDevice();
  const shapes = Object.entries<RecurrenceInput | null>(inputs).map(([key, input]) => [
    key,
    input && empty(device, input.shape),
  ]);
  const shape = op.stateShape(Object.fromEntries(shapes) as I);
  const size = shape.reduce((a, b) => a * b, 1);
  return { values: h0 ?? randomNormal(size, 99), shape };
}
