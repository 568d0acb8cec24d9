import { embedding, openShapeDevice, residualNorm, rmsNorm, type Tensor } from '@longscan/kernels';
import type { JobSpec } from '../protocol/job-spec.js';
import type { MlpOutputs } from '../sequence/mlp-outputs.js';
import { type Block, createBlock, normEps, type Residual } from './block.js';
import { beforeAll, declarer, ParameterRecorder, type TensorSource } from './declared-parameters.js';
import type { ParameterSpec } from './init.js';
import type { ContextSource } from './layer-context.js';
import { createLayer, type LoadedLayer } from './load-layers.js';
import { type BlockPlace, runKept, runMixer, runRecomputed } from './recompute.js';
import { SharedValues } from './shared-values.js';

/** A language model without its loss. */
export interface Model {
  /** tokens i32 [B, T] to normalised hidden [B, T, D]. `outputs`: what `leave` has kept of the same tokens; it is taken. */
  forward(tokens: Tensor, contexts: ContextSource, outputs?: MlpOutputs): Tensor;
  /**
   * The same without a result, as far as tokens after these need it: for what layers hand to `contexts`, last of all the last mixer.
   * `outputs` are given what `spec.keptMlps` says.
   */
  leave(tokens: Tensor, contexts: ContextSource, outputs: MlpOutputs): void;
  /** [vocab, D]: logits are hidden · headᵀ. */
  readonly head: Tensor;
  /** `masked`: `forward` wants contexts of both directions. */
  readonly objective: JobSpec['model']['objective'];
  /** Tokens of a sequence that a training step runs at once; 0: all that this rank holds. */
  readonly timeSlice: number;
}

/** Standard deviation of embeddings at the start, as in GPT-2. */
const embeddingDeviation = 0.02;

/** Builds the model, taking its tensors from `source` in a fixed order. */
export function createModel(
  spec: JobSpec['model'],
  layers: readonly LoadedLayer[],
  source: TensorSource,
): Model {
  const { device } = source;
  const { dModel: D, vocabSize, objective, timeSlice, keptMlps } = spec;
  const init = { normal: embeddingDeviation };
  // The mask is a token beyond the vocabulary: it is read, and never predicted.
  const numTokens = objective === 'masked' ? vocabSize + 1 : vocabSize;
  const table = source.parameter({
    name: 'embedding',
    shape: [numTokens, D],
    init,
    isRounded: true,
    isSharedInParts: spec.tieEmbeddings && numTokens > vocabSize,
  });
  const blocks = layers.map((layer, index) => {
    const place = { index, count: layers.length };
    const mixer = createLayer(layer, declarer(source, `layers.${index}.mixer`, D, place));
    return createBlock(mixer, spec.mlp, declarer(source, `layers.${index}`, D, place));
  });
  const norm = source.parameter({ name: 'norm', shape: [D], init: { constant: 1 }, block: layers.length });
  const head = spec.tieEmbeddings
    ? firstRows(table, vocabSize)
    : source.parameter({ name: 'head', shape: [vocabSize, D], init, isRounded: true, block: layers.length });
  const numRecomputed = numRecomputedBlocks(spec);
  /** Block by block, each on what the one before it gives. */
  const runBlocks = (tokens: Tensor, run: (block: Block, x: Residual, place: BlockPlace) => Residual) => {
    source.beforeBlock?.(beforeAll);
    let x: Residual = { stream: embedding({ tokens, table }), branch: null };
    const shared = new SharedValues();
    try {
      blocks.forEach((block, index) => {
        source.beforeBlock?.(index);
        // What follows the last block, the last norm, goes with it.
        device.remakesCheapOutputs = spec.recompute === 'cheap' && index < numRecomputed;
        const before = x;
        x = device.scope(() => run(block, before, { index, shared }));
        // The block's own stream is their sum: what its backward pass needs of them the tape holds.
        device.letGo(before.stream);
        if (before.branch !== null) device.letGo(before.branch);
      });
    } finally {
      shared.release();
    }
    return x;
  };
  return {
    head,
    objective,
    timeSlice,
    leave(tokens, contexts, outputs) {
      runBlocks(tokens, (block, x, place) => {
        if (place.index === blocks.length - 1) return runMixer(block, x, contexts, place);
        const after = runKept(block, x, contexts, place);
        if (place.index < keptMlps) outputs.keep(place.index, after.branch!);
        return after;
      });
    },
    forward(tokens, contexts, outputs) {
      const { stream, branch } = runBlocks(tokens, (block, x, place) => {
        const run = spec.recompute === true && place.index < numRecomputed ? runRecomputed : runKept;
        return run(block, x, contexts, place, outputs);
      });
      source.beforeBlock?.(blocks.length);
      return branch === null
        ? rmsNorm({ x: stream, weight: norm }, normEps)
        : residualNorm({ x: stream, branch, weight: norm }, normEps).normed;
    },
  };
}

/**
 * How many blocks, from the first one, `spec.recompute` is for. The first ones: when their backward pass needs room for what it
 * computes again, what the later ones kept is gone.
 */
function numRecomputedBlocks({ recompute, recomputedBlocks, numLayers }: JobSpec['model']): number {
  if (recompute === false) return 0;
  return recomputedBlocks === 'all' ? numLayers : recomputedBlocks;
}

/** The first rows of a parameter as one of its own, with their part of its gradient. */
function firstRows(parameter: Tensor, numRows: number): Tensor {
  if (parameter.dim(0) === numRows) return parameter;
  const shape = [numRows, parameter.dim(1)];
  const rows = parameter.view(shape);
  rows.requiresGrad = true;
  rows.gradient = parameter.gradient!.view(shape);
  return rows;
}

/** The parameters that a model declares, in its order, without allocating any. */
export function parameterSpecs(spec: JobSpec['model'], layers: readonly LoadedLayer[]): ParameterSpec[] {
  const recorder = new ParameterRecorder(openShapeDevice());
  createModel(spec, layers, recorder);
  return recorder.specs;
}
