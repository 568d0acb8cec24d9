import { forwardCall } from '../autograd/define-op.js';
import { runRecurrence } from '../autograd/run-recurrence.js';
import { type Device, openCpuDevice } from '../device.js';
import { applyTransition } from '../ops/transition/index.js';
import type { ForwardRecord, RecurrenceInputs, RecurrenceOp, SegmentSummary } from '../recurrence-op.js';
import { type DType, emptyLike, fromArray, type Tensor, zeros } from '../tensor.js';
import { expectClose } from './compare.js';
import { fromNumbers, roundedTo } from './from-numbers.js';
import { randomNormal } from './random.js';
import { initialState, type RecurrenceCheck, type RecurrenceInput, sizesOf } from './recurrence-problem.js';
import { placeTokens, sliceTokens } from './slices.js';
import { tolerances } from './tolerances.js';

/** Where a recurrence runs, and in what types. */
export interface Ground {
  readonly device: Device;
  /** Of the input of this name, or of `h0`. */
  readonly dtypeOf: (name: string) => DType;
  /** Relative RMS allowed to what should be equal. */
  readonly toleranceOf: (name: string) => number;
}

/** f64. */
export function exactGround(device: Device): Ground {
  return { device, dtypeOf: () => 'f64', toleranceOf: () => tolerances.f64 };
}

/** Output [B, T, …], and gradients by input name, `h0` among them. */
export interface Results {
  readonly output: Float64Array;
  readonly gradients: ReadonlyMap<string, Float64Array>;
}

/** A slice, its tensors, and what its forward pass left. */
interface Slice<I extends RecurrenceInputs> {
  readonly begin: number;
  readonly length: number;
  readonly inputs: I;
  readonly resets: Tensor | null;
  readonly summary: SegmentSummary | null;
  readonly record: ForwardRecord;
  readonly output: Tensor;
}

/** Gradients of a slice, and that of the state that entered it by the sweep (`incoming`) and by the scan. */
interface SliceGradients {
  readonly gradients: Readonly<Record<string, Tensor | null | undefined>>;
  readonly incoming: Tensor;
  readonly scanned: Tensor;
}

/** Slices, whose states pass through `applyTransition`, give what the whole sequence gives: f64, NaN-poisoned memory. */
export async function checkSlices<I extends RecurrenceInputs>(check: RecurrenceCheck<I>): Promise<void> {
  const device = openCpuDevice({ threads: 2, poison: true });
  try {
    const ground = exactGround(device);
    const expected = await runWhole(ground, check);
    expectSame(`${check.name}, cut`, await runSliced(ground, check), expected, ground);
  } finally {
    device.close();
  }
}

export function expectSame(name: string, found: Results, expected: Results, { toleranceOf }: Ground): void {
  expectClose(`${name}: output`, found.output, expected.output, toleranceOf('output'));
  for (const [input, gradient] of expected.gradients) {
    const [is, allowed] = [found.gradients.get(input)!, toleranceOf(input)];
    expectClose(`${name}: gradient of ${input}`, is, gradient, allowed);
  }
}

function thirds(T: number): number[] {
  const part = Math.floor(T / 3);
  return part === 0 ? [T] : [part, T - 2 * part, part];
}

function upload(
  { device, dtypeOf }: Ground,
  name: string,
  { values, shape }: { values: Float64Array; shape: readonly number[] },
): Tensor {
  const dtype = dtypeOf(name);
  const tensor = fromNumbers(device, values, shape, dtype);
  tensor.requiresGrad = true;
  tensor.gradient = zeros(device, shape, dtype === 'bf16' ? 'f32' : dtype);
  return tensor;
}

/** In numbers that every type holds. */
function outputGradientOf(size: number): Float64Array {
  return roundedTo('bf16', randomNormal(size, 77));
}

/** The recurrence over all tokens. */
export async function runWhole<I extends RecurrenceInputs>(
  ground: Ground,
  check: RecurrenceCheck<I>,
): Promise<Results> {
  const { device } = ground;
  const { B, T } = sizesOf(check);
  const inputs = sliceInputs(ground, check, 0, T);
  const resets = check.resets ? fromArray(device, check.resets, [B, T], 'i32') : null;
  const h0 = upload(ground, 'h0', initialState(check));
  const { result, tape } = device.record(() => runRecurrence(check.op, inputs, { resets, h0 }));
  const { output } = result;
  const seed = fromNumbers(device, outputGradientOf(output.size), output.shape, output.dtype);
  tape.backward([output], [seed]);
  const gradients = new Map([['h0', await h0.gradient!.readNumbers()]]);
  for (const name of learnedNames(check)) gradients.set(name, await inputs[name]!.gradient!.readNumbers());
  return { output: await output.readNumbers(), gradients };
}

function learnedNames<I extends RecurrenceInputs>({ inputs }: RecurrenceCheck<I>): string[] {
  const entries = Object.entries<RecurrenceInput | null>(inputs);
  return entries.filter(([, input]) => input !== null && input.role !== 'fixed').map(([name]) => name);
}

function sliceInputs<I extends RecurrenceInputs>(
  ground: Ground,
  check: RecurrenceCheck<I>,
  begin: number,
  length: number,
): I {
  const sizes = sizesOf(check);
  const entries = Object.entries<RecurrenceInput | null>(check.inputs).map(([name, input]) => {
    if (input === null) return [name, null];
    if (input.role !== 'token') return [name, upload(ground, name, input)];
    const values = sliceTokens(input.values, sizes, begin, length);
    return [name, upload(ground, name, { values, shape: [sizes.B, length, ...input.shape.slice(2)] })];
  });
  return Object.fromEntries(entries) as I;
}

/** The same in slices, which keep what a backward pass wants. */
export async function runSliced<I extends RecurrenceInputs>(
  ground: Ground,
  check: RecurrenceCheck<I>,
): Promise<Results> {
  const { device, toleranceOf } = ground;
  const { B, T } = sizesOf(check);
  const lengths = check.lengths ?? thirds(T);
  const h0 = upload(ground, 'h0', initialState(check));
  const slices: Slice<I>[] = [];
  let state = h0;
  let begin = 0;
  for (const length of lengths) {
    const inputs = sliceInputs(ground, check, begin, length);
    const resets = check.resets
      ? fromArray(device, sliceTokens(check.resets, { B, T }, begin, length), [B, length], 'i32')
      : null;
    const { result } = device.record(() => forwardSlice(device, check.op, inputs, resets, state));
    const { slice, outgoing } = result;
    slices.push({ begin, length, inputs, resets, ...slice });
    state = outgoing;
    begin += length;
  }
  const width = slices[0]!.output.size / (B * lengths[0]!);
  const output = new Float64Array(B * T * width);
  const outputGradient = outputGradientOf(output.length);
  const gradients = new Map<string, Float64Array>();
  let adjoint: Tensor | null = null;
  for (const slice of slices.reverse()) {
    placeTokens(output, { B, T }, slice.begin, await slice.output.readNumbers());
    const dO = sliceTokens(outputGradient, { B, T }, slice.begin, slice.length);
    const gradient = fromNumbers(device, dO, slice.output.shape, slice.output.dtype);
    const result: SliceGradients = backwardSlice(device, check.op, slice, gradient, adjoint);
    for (const name of learnedNames(check)) {
      const values = await result.gradients[name]!.readNumbers();
      const input: RecurrenceInput = check.inputs[name]!;
      const total = gradients.get(name) ?? new Float64Array(input.values.length);
      if (input.role === 'token') placeTokens(total, { B, T }, slice.begin, values);
      else for (let i = 0; i < total.length; i++) total[i]! += values[i]!;
      gradients.set(name, total);
    }
    // The scan and the sweep of a slice must agree on the gradient of the state that entered it.
    expectClose(
      `${check.name}, cut: gradient of an incoming state by the scan`,
      await result.scanned.readNumbers(),
      await result.incoming!.readNumbers(),
      toleranceOf('h0'),
    );
    adjoint = result.scanned;
  }
  gradients.set('h0', await adjoint!.readNumbers());
  return { output, gradients };
}

function forwardSlice<I extends RecurrenceInputs>(
  device: Device,
  op: RecurrenceOp<I>,
  inputs: I,
  resets: Tensor | null,
  incoming: Tensor,
) {
  const call = forwardCall(device);
  if (op.transition === 'opaque') {
    const { output, finalState, kept } = op.forward(call, inputs, resets, incoming);
    return { slice: { summary: null, record: { kept, incoming }, output }, outgoing: finalState };
  }
  const prepared = op.prepare(call, inputs, resets);
  const summary = op.summarize(call, inputs, resets, prepared);
  const outgoing = emptyLike(incoming);
  applyTransition(summary, incoming, outgoing, allRows(incoming), device.compute);
  const { output, kept } = op.finish(call, inputs, resets, prepared, incoming);
  return { slice: { summary, record: { kept, incoming }, output }, outgoing };
}

function backwardSlice<I extends RecurrenceInputs>(
  device: Device,
  op: RecurrenceOp<I>,
  { inputs, resets, record, summary }: Slice<I>,
  dO: Tensor,
  adjoint: Tensor | null,
): SliceGradients {
  const call = forwardCall(device);
  const segment = summary && op.summarizeBackward(call, inputs, resets, record, summary, dO);
  const prepared = op.prepareBackward(call, inputs, resets, record, dO, segment);
  const result = op.finishBackward(call, inputs, resets, record, prepared, dO, adjoint, true);
  const incoming = result.incoming!;
  let scanned = segment?.state ?? incoming;
  if (segment !== null && adjoint !== null) {
    scanned = emptyLike(adjoint);
    applyTransition(segment, adjoint, scanned, allRows(adjoint), device.compute);
  }
  return { gradients: result.gradients, incoming, scanned };
}

function allRows(state: Tensor) {
  return { begin: 0, end: state.size / state.dim(-1) };
}
