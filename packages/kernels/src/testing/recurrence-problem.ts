import { type Device, openShapeDevice } from '../device.js';
import type { HostTensor, RecurrenceInputs, RecurrenceOp } from '../recurrence-op.js';
import { empty, fromArray, type Tensor } from '../tensor.js';
import type { OpCheck } from './check-op.js';
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

/** [B, T] of a check, from its first input that is cut with the sequence. */
export function sizesOf<I extends RecurrenceInputs>({
  inputs,
}: RecurrenceCheck<I>): { B: number; T: number } {
  const token = Object.values<RecurrenceInput | null>(inputs).find((input) => input?.role === 'token');
  const [B, T] = token!.shape as [number, number];
  return { B, T };
}

/** What a check of a recurrence and `checkOp` have in common. */
export function commonOf<I extends RecurrenceInputs>({
  name,
  f32Tolerance,
  maxElements,
}: RecurrenceCheck<I>): Pick<OpCheck<string>, 'name' | 'f32Tolerance' | 'maxElements'> {
  return {
    name,
    ...(f32Tolerance !== undefined && { f32Tolerance }),
    ...(maxElements !== undefined && { maxElements }),
  };
}

/** The inputs that are differentiated. */
export function learnedInputs<I extends RecurrenceInputs>({
  inputs,
}: RecurrenceCheck<I>): Record<string, HostTensor> {
  const entries = Object.entries<RecurrenceInput | null>(inputs);
  return Object.fromEntries(
    entries.flatMap(([key, input]) => (input === null || input.role === 'fixed' ? [] : [[key, input]])),
  );
}

/** The op's inputs: `tensors`, and those that are not differentiated in their type. */
export function tensorInputs<I extends RecurrenceInputs>(
  { inputs }: RecurrenceCheck<I>,
  tensors: Readonly<Record<string, Tensor>>,
  device: Device,
): I {
  const [{ dtype }] = Object.values(tensors) as [Tensor];
  const entries = Object.entries<RecurrenceInput | null>(inputs).map(([key, input]) => [
    key,
    input && (tensors[key] ?? fromArray(device, input.values, input.shape, dtype)),
  ]);
  return Object.fromEntries(entries) as I;
}

/** The same for the definition. */
export function hostInputs<I extends RecurrenceInputs>(
  { inputs }: RecurrenceCheck<I>,
  values: Readonly<Record<string, Float64Array>>,
): { [K in keyof I]: HostTensor | null } {
  const entries = Object.entries<RecurrenceInput | null>(inputs).map(([key, input]) => [
    key,
    input && { values: values[key] ?? input.values, shape: input.shape },
  ]);
  return Object.fromEntries(entries) as { [K in keyof I]: HostTensor | null };
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
