import { type Device, fromArray, Tensor, zeros } from '@longscan/kernels';
import { documentEnds, placeTokens, sliceTokens } from '@longscan/kernels/testing';
import kvAllGather from '../../attention-strategies/kv-all-gather.js';
import type { AttentionStrategy } from '../../attention-strategy.js';
import { bidirectionalContexts } from '../../model/bidirectional-contexts.js';
import { type ContextSource, sliceContexts } from '../../model/layer-context.js';
import { product } from '../../model/parameter-layout.js';
import type { ModelGroup } from '../../sequence/sequence-group.js';
import { slicesOf } from '../../sequence/slice-group.js';
import type { Strategy } from '../../strategy.js';
import { usualNode, withRanks } from '../rank-set.js';
import { type BuiltLayer, buildLayer } from './build-layer.js';
import { outputLine } from './origins.js';
import type { Problem } from './problem.js';
import type { Variant } from './variant.js';

/** How a sequence lies on ranks. */
export interface Placement {
  /** Tokens of each rank's slice, in rank order. */
  readonly lengths: readonly number[];
  /** Null only for a lone rank. */
  readonly strategy: Strategy | null;
  /** For softmax attention; default: `kv-all-gather`. */
  readonly attention?: AttentionStrategy;
}

/** Forward and backward, put together from all ranks. */
export interface LayerRun {
  /** [B, T, D] */
  readonly output: Float64Array;
  /** [B, T, D] */
  readonly inputGradient: Float64Array;
  /** By the parameter's name, summed over ranks. */
  readonly parameterGradients: ReadonlyMap<string, Float64Array>;
}

/** Blocks of the free axis for the strategies that cut it: a number that the states here do not divide by. */
const blocks = 3;

/** A layer over a sequence whose slices lie on in-process ranks. */
export function runLayer(problem: Problem, placement: Placement): Promise<LayerRun> {
  const { lengths, strategy, attention = kvAllGather } = placement;
  return withRanks(lengths.length, async (ranks) => {
    let begin = 0;
    const slices = lengths.map((length, rank) => {
      const device = ranks.devices[rank]!;
      const communicator = ranks.communicators[rank]!;
      const layer = buildLayer(device, problem.variant, problem.place, problem.dtype);
      const options = { blocks, ranksPerNode: usualNode(lengths.length) };
      const slices = slicesOf(lengths);
      const scanOf = () => ({ strategy: strategy!, options });
      const group = strategy && { communicator, scanOf, attention, slices };
      const slice = { begin, length, layer, ...enqueue(device, problem, layer, group, begin, length) };
      begin += length;
      return slice;
    });
    const output = new Float64Array(problem.x.length);
    const inputGradient = new Float64Array(problem.x.length);
    const read = slices.map((slice) =>
      Promise.all([
        slice.output.readNumbers(),
        slice.x.gradient!.readNumbers(),
        slice.layer.parameters.gradients.readNumbers(),
      ]),
    );
    const flat: Float64Array[] = [];
    for (const [rank, values] of (await Promise.all(read)).entries()) {
      const { begin } = slices[rank]!;
      placeTokens(output, problem, begin, values[0]);
      placeTokens(inputGradient, problem, begin, values[1]);
      flat.push(values[2]);
    }
    const sums = flat[0]!.map((_, i) => flat.reduce((sum, values) => sum + values[i]!, 0));
    const parameterGradients = new Map(
      slices[0]!.layer.parameters
        .layout()
        .map(({ name, shape, offset }) => [name, sums.subarray(offset, offset + product(shape))]),
    );
    return { output, inputGradient, parameterGradients };
  });
}

/** One rank, whole sequences. */
export function runAlone(problem: Problem): Promise<LayerRun> {
  return runLayer(problem, { lengths: [problem.T], strategy: null });
}

/** Enqueues forward and backward of one rank's slice. */
function enqueue(
  device: Device,
  problem: Problem,
  { apply }: BuiltLayer,
  group: ModelGroup | null,
  begin: number,
  length: number,
): { x: Tensor; output: Tensor } {
  const { B, dtype, variant } = problem;
  const shape = [B, length, variant.dModel];
  const upload = (values: Float64Array) =>
    fromArray(device, sliceTokens(values, problem, begin, length), shape, dtype);
  const x = asLeaf(upload(problem.x));
  const context = contextsOf(device, problem, group, begin, length).forLayer(problem.place.index);
  const { result: output, tape } = device.record(() => device.scope(() => apply(x, context)));
  expectOutput(output, shape, variant);
  tape.backward([output], [upload(problem.outputGradient)]);
  return { x, output };
}

function expectOutput(output: unknown, shape: readonly number[], variant: Variant): void {
  if (output instanceof Tensor && output.shape.join() === shape.join()) return;
  const found = output instanceof Tensor ? `[${output.shape}]` : 'no tensor';
  throw new Error(`the output is ${found}, expected [${shape}]${outputLine(variant)}`);
}

/** What a layer looks at beside its own tokens, on the rank that holds `length` of them from `begin` on. */
export function contextsOf(
  device: Device,
  problem: Problem,
  group: ModelGroup | null,
  begin = 0,
  length = problem.T,
): ContextSource {
  const { B, T, resets, bidirectional } = problem;
  const shape = [B, length] as const;
  const upload = (values: Int32Array) =>
    fromArray(device, sliceTokens(values, problem, begin, length), shape, 'i32');
  const starts = resets && upload(resets);
  const before = resets && fromArray(device, openTokens(problem, begin), [B], 'i32');
  if (!bidirectional) return sliceContexts(group, starts, before);
  const ends = resets && upload(documentEnds(resets, T));
  const after = resets && fromArray(device, laterTokens(problem, begin + length), [B], 'i32');
  return bidirectionalContexts({ device, shape, group, resets: starts, ends, before, after });
}

/** By row, tokens from `end` on of the document that is open there. */
function laterTokens({ B, T, resets }: Problem, end: number): number[] {
  return Array.from({ length: B }, (_, b) => {
    const start = resets!.subarray(b * T + end, (b + 1) * T).indexOf(1);
    return start < 0 ? T - end : start;
  });
}

/** By row, tokens before `begin` of the document that is open there. */
function openTokens({ B, T, resets }: Problem, begin: number): number[] {
  return Array.from({ length: B }, (_, b) => {
    const start = resets!.subarray(b * T, b * T + begin).lastIndexOf(1);
    return begin - Math.max(0, start);
  });
}

/** A tensor whose gradient is accumulated as a parameter's is. */
function asLeaf(tensor: Tensor): Tensor {
  tensor.requiresGrad = true;
  tensor.gradient = zeros(tensor.device, tensor.shape, tensor.dtype);
  return tensor;
}
