import { type Device, fromArray, type Tensor, zeros } from '@longscan/kernels';
import { placeTokens, sliceTokens } from '@longscan/kernels/testing';
import { sliceContexts } from '../../model/layer-context.js';
import { type SequenceGroup, slicesOf } from '../../sequence/sequence-group.js';
import type { Strategy } from '../../strategy.js';
import { demand } from '../check.js';
import { withRanks } from '../rank-set.js';
import { type BuiltLayer, buildLayer } from './build-layer.js';
import type { Problem } from './problem.js';

/** How a sequence lies on ranks. */
export interface Placement {
  /** Tokens of each rank's slice, in rank order. */
  readonly lengths: readonly number[];
  /** Null only for a lone rank. */
  readonly strategy: Strategy | null;
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
export function runLayer(problem: Problem, { lengths, strategy }: Placement): Promise<LayerRun> {
  return withRanks(lengths.length, async (ranks) => {
    let begin = 0;
    const slices = lengths.map((length, rank) => {
      const device = ranks.devices[rank]!;
      const communicator = ranks.communicators[rank]!;
      const layer = buildLayer(device, problem.variant, problem.place, problem.dtype);
      const group = strategy && { communicator, strategy, options: { blocks }, slices: slicesOf(lengths) };
      const slice = { begin, length, layer, ...enqueue(device, problem, layer, group, begin, length) };
      begin += length;
      return slice;
    });
    const output = new Float64Array(problem.x.length);
    const inputGradient = new Float64Array(problem.x.length);
    const parameterGradients = new Map<string, Float64Array>();
    await Promise.all(
      slices.map(async (slice) => {
        placeTokens(output, problem, slice.begin, await slice.output.readNumbers());
        placeTokens(inputGradient, problem, slice.begin, await slice.x.gradient!.readNumbers());
        for (const [name, { gradient }] of slice.layer.parameters.byName) {
          const values = await gradient!.readNumbers();
          const sum = parameterGradients.get(name);
          parameterGradients.set(name, sum ? sum.map((value, i) => value + values[i]!) : values);
        }
      }),
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
  group: SequenceGroup | null,
  begin: number,
  length: number,
): { x: Tensor; output: Tensor } {
  const { B, dtype, variant } = problem;
  const shape = [B, length, variant.dModel];
  const upload = (values: Float64Array) =>
    fromArray(device, sliceTokens(values, problem, begin, length), shape, dtype);
  const x = asLeaf(upload(problem.x));
  const resets =
    problem.resets &&
    fromArray(device, sliceTokens(problem.resets, problem, begin, length), [B, length], 'i32');
  const before = resets && fromArray(device, openTokens(problem, begin), [B], 'i32');
  const context = sliceContexts(group, resets, before).forLayer(problem.place.index);
  const { result: output, tape } = device.record(() => device.scope(() => apply(x, context)));
  demand(output.shape.join() === shape.join(), `the output is [${output.shape}], expected [${shape}]`);
  tape.backward([output], [upload(problem.outputGradient)]);
  return { x, output };
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
