import { copy, emptyLike, fill, type Tensor, zeros } from '@longscan/kernels';
import type { Batch } from '../data/index.js';
import type { RankMesh } from '../mesh.js';
import type { Training } from './training.js';
import { treeSum } from './tree-sum.js';

/**
 * Deterministic mode: the sum of gradients over the sequences of a step. A sequence is summed over the ranks that hold it
 * before it meets the next one, so that the tree over units is the same whichever ranks hold which of them: segments of a
 * sequence first, then sequences, then replicas.
 */
export class SequenceSums {
  /** Sums of 1, 2, 4, … sequences that wait for as many more. */
  private readonly waiting: Tensor[] = [];
  private numDone = 0;

  constructor(private readonly training: Training) {}

  /** Takes the gradients of the sequence that was run, and leaves zeros for the next one. Enqueues only. */
  next(): void {
    const { gradients } = this.training.parameters;
    this.addWaiting();
    const level = trailingZeros(this.numDone);
    this.waiting[level] ??= emptyLike(gradients);
    copy(gradients, this.waiting[level]);
    fill(gradients, 0);
  }

  /** After the last of a power of two of sequences: the gradients become the sum over all of them and all ranks. */
  finish(): void {
    const { mesh, parameters } = this.training;
    this.addWaiting();
    if (mesh.world !== null) treeSum(mesh.world, replicasOf(mesh), parameters.gradients);
  }

  private addWaiting(): void {
    const { device, mesh, parameters } = this.training;
    const { gradients } = parameters;
    if (mesh.world !== null) treeSum(mesh.world, holdersOf(mesh), gradients);
    this.numDone++;
    for (let level = 0; level < trailingZeros(this.numDone); level++) {
      device.native.axpy(device.compute.id, 1, this.waiting[level]!.id, gradients.id);
    }
  }
}

/** Each sequence of some batches as a batch of its own. */
export function sequencesOf(batches: readonly Batch[]): Batch[] {
  return batches.flatMap((batch) =>
    Array.from({ length: batch.numSequences }, (_, i) => {
      const cut = (values: Int32Array) => {
        const length = values.length / batch.numSequences;
        return values.subarray(i * length, (i + 1) * length);
      };
      return {
        ...batch,
        numSequences: 1,
        tokens: cut(batch.tokens),
        labels: cut(batch.labels),
        resets: batch.resets && cut(batch.resets),
        openTokens: batch.openTokens && cut(batch.openTokens),
      };
    }),
  );
}

/**
 * Deterministic mode: the loss over held-out batches, of each sequence by itself and then in the order of the text. `lossOf`
 * gives this rank's part of one sequence's, [1].
 */
export async function validateSequences(
  { device, mesh, parameters }: Training,
  batches: readonly Batch[],
  lossOf: (batch: Batch) => Tensor,
): Promise<number> {
  const sequences = sequencesOf(batches);
  const count = sequences.length;
  const replicas = replicasOf(mesh);
  const replica = replicas.indexOf(mesh.world?.rank ?? 0);
  const losses = zeros(device, [replicas.length * count], parameters.dtype);
  for (const [i, sequence] of sequences.entries()) {
    device.scope(() => copy(lossOf(sequence), losses.view([1], replica * count + i)));
    await device.compute.sync();
  }
  if (mesh.world !== null) {
    const { world } = mesh;
    device.scope(() => treeSum(world, holdersOf(mesh), losses.view([count], replica * count)));
    // Replicas hold zeros where others have their losses, so this adds nothing up.
    device.scope(() => treeSum(world, replicas, losses));
  }
  const values = await losses.readNumbers();
  losses.release();
  const perBatch = batches[0]!.numSequences;
  let total = 0;
  for (let first = 0; first < count; first += perBatch) {
    for (let row = 0; row < replicas.length; row++) {
      for (let i = first; i < first + perBatch; i++) total += values[row * count + i]!;
    }
  }
  return total;
}

/** The ranks of the world that hold slices of the same sequences as this one, in sequence order. */
function holdersOf({ sp, world }: RankMesh): number[] {
  const size = sp?.size ?? 1;
  const first = (world?.rank ?? 0) - (sp?.rank ?? 0);
  return Array.from({ length: size }, (_, i) => first + i);
}

/** The ranks of the world that hold the same slice of other sequences, in the order of these. */
function replicasOf({ sp, world }: RankMesh): number[] {
  const size = sp?.size ?? 1;
  return Array.from({ length: (world?.size ?? 1) / size }, (_, i) => i * size + (sp?.rank ?? 0));
}

function trailingZeros(value: number): number {
  return 31 - Math.clz32(value & -value);
}
