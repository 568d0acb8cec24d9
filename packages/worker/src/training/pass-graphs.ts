import { fromArray, type Graph, LongscanError, type Tensor } from '@longscan/kernels';
import type { Batch } from '../data/index.js';
import type { Training } from './train-step.js';
import { releaseBatch, retainBatch, type UploadedBatch, uploadBatch, uploadOver } from './uploaded-batch.js';

/** Enqueues both passes over all micro-batches of a step, into gradients that it begins anew; `seed`: 1, the loss's gradient. */
export type Passes = (batches: readonly UploadedBatch[], seed: Tensor) => void;

/** Steps of a form that run before one is recorded: kernels are loaded by then. */
const numPlainSteps = 2;
/** Forms that are kept in mind; whose forms vary more gains nothing from graphs. */
const maxForms = 8;

interface RecordedPasses {
  readonly graph: Graph;
  readonly batches: readonly UploadedBatch[];
  readonly seed: Tensor;
}

/**
 * Forward and backward passes as CUDA graphs. A step of a form that came before is launched as one piece of work for each
 * block of the model, in place of a thousand kernels that the host launches one by one. Tokens, labels and what else a batch
 * says are written into tensors of the graph first; all that a step decides anew (clipping, learning rate, moments) happens
 * after it, outside. The same kernels run on the same values, so losses are those of plain steps bit for bit.
 */
export class PassGraphs {
  private readonly graphs = new Map<string, RecordedPasses>();
  /** Plain steps so far, by form. */
  private readonly numPlain = new Map<string, number>();
  /** Why no more graphs are recorded. */
  private givenUp = false;

  constructor(
    private readonly training: Pick<Training, 'device' | 'parameters'>,
    private readonly log: (line: string) => void,
  ) {}

  /** Launches the passes over such batches; false: there is no graph of them, and the caller enqueues them. */
  launch(batches: readonly Batch[], passes: Passes): boolean {
    if (this.training.device.compute.isProfiled) return false;
    const form = batches.map(formOf).join(' ');
    const recorded = this.graphs.get(form) ?? this.record(form, batches, passes);
    if (recorded === null) return false;
    for (const [i, batch] of batches.entries()) uploadOver(recorded.batches[i]!, batch);
    const isLaunched = recorded.graph.launch();
    if (!isLaunched) {
      this.release();
      this.giveUp('their memory was wanted elsewhere, and there is no more');
    }
    return isLaunched;
  }

  /** Gives all memory back. */
  release(): void {
    for (const { graph, batches, seed } of this.graphs.values()) {
      graph.release();
      for (const batch of batches) releaseBatch(batch);
      seed.release();
    }
    this.graphs.clear();
  }

  private record(form: string, batches: readonly Batch[], passes: Passes): RecordedPasses | null {
    const numPlain = this.numPlain.get(form) ?? 0;
    if (this.givenUp || numPlain < numPlainSteps) {
      this.numPlain.set(form, numPlain + 1);
      if (this.numPlain.size > maxForms) this.giveUp('shapes and label counts of batches vary');
      return null;
    }
    const { device, parameters } = this.training;
    const uploaded = batches.map((batch) => retainBatch(uploadBatch(device, batch)));
    const seed = fromArray(device, [1], [1], parameters.dtype).retain();
    try {
      const graph = device.compute.capture(() => device.scope(() => passes(uploaded, seed)));
      const recorded = { graph, batches: uploaded, seed };
      this.graphs.set(form, recorded);
      return recorded;
    } catch (error) {
      if (!(error instanceof LongscanError) || !['E-CUDA-GRAPH', 'E-MEMORY'].includes(error.code))
        throw error;
      for (const batch of uploaded) releaseBatch(batch);
      seed.release();
      this.giveUp(error.message);
      return null;
    }
  }

  private giveUp(reason: string): void {
    if (this.givenUp) return;
    this.givenUp = true;
    this.log(`no more CUDA graphs are recorded, kernels are launched one by one: ${reason}`);
  }
}

/** What a graph has of a batch beside the values in its tensors. */
function formOf({ numSequences, sliceLength, numValidTokens, ...rest }: Batch): string {
  const given = [rest.resets, rest.openTokens, rest.ends, rest.laterTokens].map((values) =>
    Number(values != null),
  );
  return `${numSequences}x${sliceLength}/${numValidTokens}/${given.join('')}`;
}
