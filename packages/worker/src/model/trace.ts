import { openShapeDevice } from '@longscan/kernels';
import type { AttentionStrategy } from '../attention-strategy.js';
import type { LayerContext } from '../layer.js';
import { shardOfRank } from '../optim/shard.js';
import type { JobSpec } from '../protocol/job-spec.js';
import type {
  AttentionTrace,
  FetchTrace,
  HaloTrace,
  ModelTrace,
  RecurrenceTrace,
  SumTrace,
} from '../protocol/plan.js';
import type { Crossing } from '../sequence/border.js';
import { refuseCarry } from '../sequence/carry.js';
import { live, type Received } from '../sequence/received.js';
import { type ContextSource, sliceContexts } from './layer-context.js';
import { type LoadedLayer, loadLayers } from './load-layers.js';
import { createModel, parameterSpecs } from './model.js';
import { Parameters } from './parameters.js';
import { timeSliceContexts } from './time-slice-contexts.js';
import { tracingAttention } from './trace-attention.js';
import { hasBoundaries, tracingBothDirections } from './trace-bidirectional.js';
import { traceStep } from './trace-step.js';
import { type Traffic, tracingShortRange, wireBytes } from './trace-traffic.js';

/** Sizes of what one rank computes in one step. */
export interface TraceSizes {
  /** B: sequences of one rank. */
  readonly numSequences: number;
  /** T: tokens of one rank's slice. */
  readonly sliceLength: number;
  /** Slices of a sequence; the last one's is traced. Default 1. */
  readonly numSlices?: number;
  /** How keys and values cross slices; default: not at all, so only the calls of attention are known, not their cost. */
  readonly attention?: AttentionStrategy | null;
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
  { model: spec, data, parallel, device: target }: JobSpec,
  layers: readonly LoadedLayer[],
  { numSequences: B, sliceLength: T, numSlices = 1, attention: strategy = null }: TraceSizes,
): ModelTrace {
  const device = openShapeDevice();
  device.standsForGpu = target.kind === 'cuda';
  const numShards = shardOfRank(parallel, 0).count;
  const parameters = new Parameters(device, parameterSpecs(spec, layers), {
    numShards,
    precision: spec.precision,
  });
  const model = createModel(spec, layers, parameters);
  const atRest = device.memory().inUseBytes;
  const recurrences: RecurrenceTrace[] = [];
  const halos: HaloTrace[] = [];
  const attentions: AttentionTrace[] = [];
  const sums: SumTrace[] = [];
  const fetches: FetchTrace[] = [];
  const refusals = new Map<number, string>();
  const traffic = { packing: data.packing, recurrences, halos };
  const bothDirections =
    spec.objective === 'masked'
      ? tracingBothDirections({
          ...{ device, shape: [B, T], numSlices, traffic, sums, fetches, refusals },
          hasBoundaries: hasBoundaries(data, numSlices * T),
        })
      : null;
  const contextsOf = (crossing: Crossing | null, isNoted: boolean): ContextSource => {
    const notes = isNoted ? traffic : { ...traffic, recurrences: [], halos: [] };
    const contexts = crossing === null ? sliceContexts(null, null) : timeSliceContexts(null, null, crossing);
    return {
      tensors: [],
      forLayer: (layer, received = live) => ({
        ...tracingContext(contexts.forLayer(layer), layer, received, notes),
        // Over time slices attention refuses by itself.
        ...(crossing === null &&
          tracingAttention(device, { layer, numSlices, sliceLength: T, strategy, received }, attentions)),
        ...bothDirections?.(layer, received),
        ...(data.carry && {
          attention: () => {
            throw refuseCarry(layer);
          },
        }),
      }),
    };
  };
  const bytes = traceStep({ device, model, shape: [B, T], contextsOf });
  return {
    numParameters: parameters.numParameters,
    activationBytes: bytes.kept - atRest,
    keptMlpBytes: bytes.keptMlps,
    flopsPerToken: device.flops / (B * T),
    recurrences,
    halos,
    attentions,
    sums,
    fetches,
    layers: layers.map(({ layer, config }, index) => ({
      name: layer.name,
      sliceMultiple: layer.sliceMultiple?.(config) ?? 1,
      ...(refusals.has(index) && { causalOnly: refusals.get(index)! }),
    })),
  };
}

/** A layer's context that notes what it would send; a second run in the backward pass sends nothing. */
function tracingContext(
  context: LayerContext,
  layer: number,
  received: Received,
  traffic: Traffic,
): LayerContext {
  const { packing, recurrences } = traffic;
  return {
    ...context,
    ...tracingShortRange(layer, received, traffic, context),
    recurrence(op, inputs, meanwhile) {
      if (!received.isReplay) {
        recurrences.push({ layer, kind: op.transition, ...wireBytes(op, inputs, packing) });
      }
      return context.recurrence(op, inputs, meanwhile);
    },
  };
}
