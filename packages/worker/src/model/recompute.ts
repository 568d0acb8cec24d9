import type { Tensor } from '@longscan/kernels';
import { ReceivedLog } from '../received.js';
import type { Block } from './block.js';
import type { ContextSource } from './layer-context.js';

/** Runs the block of layer `index`. */
export type BlockRunner = (block: Block, x: Tensor, contexts: ContextSource, index: number) => Tensor;

/** What the block's backward pass needs is kept. */
export const runKept: BlockRunner = (block, x, contexts, index) => block(x, contexts.forLayer(index));

/**
 * Of the block only its input is kept, and what it received from other ranks, whose size does not depend on the length
 * of the sequence. The backward pass runs the block again from these: the same code on the same values gives the same
 * bits, and nothing is communicated twice. Reverse scans run as ever.
 */
export const runRecomputed: BlockRunner = (block, x, contexts, index) => {
  const { device } = x;
  const { tape } = device;
  if (tape === null) return runKept(block, x, contexts, index);
  const log = new ReceivedLog();
  const output = device.withoutTape(() =>
    device.scope(() => block(x, contexts.forLayer(index, log.record()))),
  );
  tape.record({
    name: 'block',
    inputs: [x],
    outputs: [output],
    saved: [x, ...contexts.tensors, ...log.tensors],
    backward: ([gradient]) => {
      // A leaf of its own: x itself is the output of an op of the outer tape.
      const leaf = x.view(x.shape);
      leaf.requiresGrad = true;
      const again = device.record(() =>
        device.scope(() => block(leaf, contexts.forLayer(index, log.replay()))),
      );
      return again.tape.backward([again.result], [gradient!], [leaf]);
    },
  });
  log.release();
  return output;
};
