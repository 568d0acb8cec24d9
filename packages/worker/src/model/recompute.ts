import type { Tensor } from '@longscan/kernels';
import type { LayerContext } from '../layer.js';
import type { MlpOutputs } from '../sequence/mlp-outputs.js';
import { ReceivedLog } from '../sequence/received.js';
import { type Block, type Residual, sumOf } from './block.js';
import type { ContextSource } from './layer-context.js';
import { type BlockShare, SharedValues } from './shared-values.js';

/** Where a block stands in a forward pass. */
export interface BlockPlace {
  /** Of its layer. */
  readonly index: number;
  /** What the layers before it have handed on. */
  readonly shared: SharedValues;
}

/** Runs a block. `outputs`: has that of its MLP, if that is known. */
export type BlockRunner = (
  block: Block,
  residual: Residual,
  contexts: ContextSource,
  place: BlockPlace,
  outputs?: MlpOutputs,
) => Residual;

/** What the block's backward pass needs is kept. */
export const runKept: BlockRunner = (block, residual, contexts, place, outputs) =>
  block.feedForward(runMixer(block, residual, contexts, place), outputs?.take(place.index) ?? null);

/** The block's first half alone. */
export const runMixer: BlockRunner = (block, residual, contexts, { index, shared }) => {
  const { share } = shared.forBlock();
  return block.mix(residual, { ...contexts.forLayer(index), share });
};

/**
 * Of the block only its input is kept, and what it received from other ranks: states and halos, whose size does not
 * depend on the length of the sequence, and the keys and values that an attention fetched. The backward pass runs the
 * block again from these: the same code on the same values gives the same bits, and nothing is communicated twice.
 * Reverse scans run as ever. Values taken from earlier blocks are inputs too, and those given to later ones outputs.
 */
export const runRecomputed: BlockRunner = (block, residual, contexts, { index, shared }) => {
  const { device } = residual.stream;
  const { tape } = device;
  if (tape === null) return runKept(block, residual, contexts, { index, shared });
  const x = sumOf(residual);
  const run = (stream: Tensor, context: LayerContext) =>
    sumOf(block.feedForward(block.mix({ stream, branch: null }, context), null));
  const log = new ReceivedLog();
  try {
    const { share, taken, given } = shared.forBlock();
    const output = device.withoutTape(() =>
      device.scope(() => run(x, { ...contexts.forLayer(index, log.record()), share })),
    );
    tape.record({
      name: 'block',
      inputs: [x, ...taken.values()],
      outputs: [output, ...given.values()],
      saved: [x, ...taken.values(), ...contexts.tensors, ...log.tensors],
      backward: (gradients) => {
        const leaf = asLeaf(x);
        const leaves = new Map([...taken].map(([name, value]) => [name, asLeaf(value)]));
        const values = new SharedValues(leaves);
        try {
          const again: BlockShare = values.forBlock();
          const { result, tape } = device.record(() =>
            device.scope(() => run(leaf, { ...contexts.forLayer(index, log.replay()), share: again.share })),
          );
          const outputs = [result, ...[...given.keys()].map((name) => again.given.get(name)!)];
          const reached = outputs.filter((_, i) => gradients[i] !== null);
          const seeds = gradients.filter((gradient) => gradient !== null);
          return tape.backward(reached, seeds, [leaf, ...leaves.values()]);
        } finally {
          values.release();
        }
      },
    });
    return { stream: output, branch: null };
  } finally {
    log.release();
  }
};

/** A leaf of its own with the same elements: the tensor itself is the output of an op of the outer tape. */
function asLeaf(tensor: Tensor): Tensor {
  const leaf = tensor.view(tensor.shape);
  leaf.requiresGrad = true;
  tensor.device.units?.markLike(tensor, leaf);
  return leaf;
}
