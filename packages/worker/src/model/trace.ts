import {
  crossEntropy,
  empty,
  openShapeDevice,
  type RecurrenceInputs,
  type RecurrenceOp,
  transitionWireElements,
  zeros,
} from '@longscan/kernels';
import type { LayerContext } from '../layer.js';
import { shardOfRank } from '../optim/shard.js';
import type { JobSpec } from '../protocol/job-spec.js';
import type { GatherTrace, HaloTrace, ModelTrace, RecurrenceTrace } from '../protocol/plan.js';
import { refuseCarry } from '../sequence/carry.js';
import { live, type Received } from '../sequence/received.js';
import { recurrence } from '../sequence/recurrence.js';
import { type ContextSource, sliceContexts } from './layer-context.js';
import { type LoadedLayer, loadLayers } from './load-layers.js';
import { createModel, parameterSpecs } from './model.js';
import { Parameters } from './parameters.js';
import { shortRange } from './short-range.js';
import { tracingAttention } from './trace-attention.js';

/** Sizes of what one rank computes in one step. */
export interface TraceSizes {
  /** B: sequences of one rank. */
  readonly numSequences: number;
  /** T: tokens of one rank's slice. */
  readonly sliceLength: number;
  /** Slices of a sequence; the last one's is traced. Default 1. */
  readonly numSlices?: number;
  /** Bundled module of each layer file outside the packages. */
  readonly modules?: Readonly<Record<string, string>>;
}

/**
 * What a model needs on one rank, from one training step of its own code on a shape device: no formula here knows
 * a layer. Opens no native file.
 */
export async function traceModel(spec: JobSpec, sizes: TraceSizes): Promise<ModelTrace> {
  const layers = await loadLayers(spec.model, sizes.modules);
  return traceLayers(spec, layers, sizes);
}

function traceLayers(
  { model: spec, data, parallel }: JobSpec,
  layers: readonly LoadedLayer[],
  { numSequences: B, sliceLength: T, numSlices = 1 }: TraceSizes,
): ModelTrace {
  const device = openShapeDevice();
  const numShards = shardOfRank(parallel, 0).count;
  const parameters = new Parameters(device, parameterSpecs(spec, layers), 0, 'f32', numShards);
  const model = createModel(spec, layers, parameters);
  const moments = [1, 2].map(() => zeros(device, [parameters.values.size / numShards]));
  const atRest = device.memory({ resetPeak: true }).inUseBytes;
  const recurrences: RecurrenceTrace[] = [];
  const halos: HaloTrace[] = [];
  const gathers: GatherTrace[] = [];
  const contexts: ContextSource = {
    tensors: [],
    forLayer: (layer: number, received = live) => ({
      ...tracingContext(layer, received, { packing: data.packing, recurrences, halos }),
      ...tracingAttention(device, { layer, numSlices, sliceLength: T, received }, gathers),
      ...(data.carry && {
        attention: () => {
          throw refuseCarry(layer);
        },
      }),
    }),
  };

  const tokens = empty(device, [B, T], 'i32');
  const labels = empty(device, [B, T], 'i32');
  const { result: loss, tape } = device.record(() =>
    device.scope(() =>
      crossEntropy({ hidden: model.forward(tokens, contexts), weight: model.head, labels }, 1 / (B * T)),
    ),
  );
  const activationBytes = device.memory().inUseBytes - atRest;
  tape.backward([loss], [empty(device, [1])]);
  for (const moment of moments) moment.release();
  return {
    numParameters: parameters.numParameters,
    activationBytes,
    peakBytes: device.memory().peakBytes,
    flopsPerToken: device.flops / (B * T),
    recurrences,
    halos,
    gathers,
    layers: layers.map(({ layer, config }) => ({
      name: layer.name,
      sliceMultiple: layer.sliceMultiple?.(config) ?? 1,
    })),
  };
}

/** What a model would send, in the order of its calls. */
interface Traffic {
  /** Documents are packed. */
  readonly packing: boolean;
  readonly recurrences: RecurrenceTrace[];
  readonly halos: HaloTrace[];
}

/** Runs a layer as on a single rank and notes what it would send; a second run in the backward pass sends nothing. */
function tracingContext(
  layer: number,
  { isReplay }: Received,
  { packing, recurrences, halos }: Traffic,
): LayerContext {
  return {
    ...sliceContexts(null, null).forLayer(layer),
    ...shortRange((x, numRows, op) => {
      if (!isReplay && numRows > 0) halos.push({ layer, bytes: 4 * x.dim(0) * numRows * x.dim(2) });
      return op({ x, halo: null });
    }, null),
    recurrence(op, inputs, meanwhile) {
      if (!isReplay) recurrences.push({ layer, kind: op.transition, ...wireBytes(op, inputs, packing) });
      return recurrence(op, inputs, { group: null, resets: null, meanwhile });
    },
  };
}

/** A state, and M with a reset bit for each sequence where documents are packed. */
function wireBytes<I extends RecurrenceInputs>(op: RecurrenceOp<I>, inputs: I, packing: boolean) {
  const [B, H, R, N] = op.stateShape(inputs) as [number, number, number, number];
  const transitionBytes = 4 * B * (H * transitionWireElements(op.transition, N) + Number(packing));
  return { stateBytes: 4 * B * H * R * N, transitionBytes };
}
