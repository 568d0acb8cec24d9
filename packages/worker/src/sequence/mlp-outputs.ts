import type { Tensor } from '@longscan/kernels';

/**
 * Outputs of blocks' MLPs over one time slice, which the pass that leaves its states keeps for the one that is differentiated.
 * Holds a reference to each until it is taken.
 */
export class MlpOutputs {
  private readonly tensors = new Map<number, Tensor>();

  keep(block: number, output: Tensor): void {
    this.tensors.set(block, output.retain());
  }

  /** Of all that is kept. */
  get bytes(): number {
    return [...this.tensors.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** Gives the block's to the innermost scope, as a tensor of its own; null: it was not kept. */
  take(block: number): Tensor | null {
    const kept = this.tensors.get(block);
    if (kept === undefined) return null;
    const output = kept.view(kept.shape);
    kept.release();
    this.tensors.delete(block);
    return output;
  }

  /** Gives up what was not taken. */
  release(): void {
    for (const kept of this.tensors.values()) kept.release();
    this.tensors.clear();
  }
}
