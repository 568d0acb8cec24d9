import { type Device, fromArray, type Graph, LongscanError, type Tensor, zeros } from '@longscan/kernels';
import type { Batch } from '../data/index.js';
import type { Model } from '../model/model.js';
import type { Parameters } from '../model/parameters.js';
import type { JobSpec } from '../protocol/job-spec.js';
import type { Carry } from '../sequence/carry.js';
import { numCounts, type Passes, type PassTensors } from './pass-tensors.js';
import { tensorsOf, type UploadedBatch, uploadBatch, uploadOver } from './uploaded-batch.js';

/** Steps of a form that run before one is recorded: kernels are loaded by then, and products have been chosen. */
const numPlainSteps = 1;
/** Forms that are kept in mind: whose forms vary more gains nothing. */
const maxForms = 4;

/** What a recording depends on. */
interface GraphedTraining {
  readonly device: Device;
  readonly parameters: Parameters;
  readonly carry: Carry | null;
  readonly model: Pick<Model, 'timeSlice'>;
}

interface RecordedPasses {
  readonly graph: Graph;
  readonly batches: readonly UploadedBatch[];
  readonly tensors: PassTensors;
}

/**
 * Forward and backward passes as CUDA graphs. In a step that has the form of earlier ones the host launches a graph for each
 * block of the model, in place of hundreds of kernels one by one. What a batch says is written into tensors of the graph
 * before; what a step decides anew (clipping, learning rate, whether to stop) comes after it and is no part of it. What ranks
 * send each other in the middle of the passes is enqueued between pieces of the graph, and by the same call. The same kernels
 * run on the same values, so the losses are those of plain steps bit for bit.
 */
export class PassGraphs {
  private readonly graphs = new Map<string, RecordedPasses>();
  /** Plain steps so far, by form. */
  private readonly numPlain = new Map<string, number>();
  private givesUp = false;

  /** `log`: is told, once, why no more graphs are recorded. */
  constructor(
    private readonly training: Pick<GraphedTraining, 'device' | 'parameters'>,
    private readonly log: (line: string) => void,
  ) {}

  /** Launches the passes over such batches and gives what they count as sent; null: there is no graph of them. */
  launch(batches: readonly Batch[], passes: Passes): Tensor | null {
    if (this.training.device.compute.isProfiled) return null;
    const form = batches.map(formOf).join(' ');
    const recorded = this.graphs.get(form) ?? this.record(form, batches, passes);
    if (recorded === null) return null;
    for (const [i, batch] of batches.entries()) uploadOver(recorded.batches[i]!, batch);
    const { sent } = recorded.tensors;
    if (recorded.graph.launch()) return sent.view(sent.shape);
    this.release();
    this.giveUp('their memory was wanted elsewhere, and there is no more');
    return null;
  }

  /** Gives all memory back. */
  release(): void {
    for (const { graph, batches, tensors } of this.graphs.values()) {
      graph.release();
      releaseAll(batches, tensors);
    }
    this.graphs.clear();
  }

  private record(form: string, batches: readonly Batch[], passes: Passes): RecordedPasses | null {
    const numPlain = this.numPlain.get(form) ?? 0;
    if (this.givesUp || numPlain < numPlainSteps) {
      this.numPlain.set(form, numPlain + 1);
      if (this.numPlain.size > maxForms) this.giveUp('the shapes of batches vary');
      return null;
    }
    try {
      const recorded = this.capture(batches, passes);
      this.graphs.set(form, recorded);
      return recorded;
    } catch (error) {
      if (!(error instanceof LongscanError && refusals.includes(error.code))) throw error;
      this.giveUp(error.message);
      return null;
    }
  }

  private capture(batches: readonly Batch[], passes: Passes): RecordedPasses {
    const { device, parameters } = this.training;
    // All of them or none: what was taken when memory ends is wanted by the plain step.
    const { uploaded, tensors } = device.scope(() => ({
      uploaded: batches.map((batch) => uploadBatch(device, batch)),
      tensors: {
        seed: fromArray(device, [1], [1], parameters.dtype),
        sent: zeros(device, [numCounts(batches)], 'f64'),
      },
    }));
    // They outlive the step's scope.
    for (const tensor of all(uploaded, tensors)) tensor.retain();
    try {
      const graph = device.compute.capture(() => device.scope(() => passes(uploaded, tensors)));
      return { graph, batches: uploaded, tensors };
    } catch (error) {
      releaseAll(uploaded, tensors);
      throw error;
    }
  }

  private giveUp(reason: string): void {
    if (this.givesUp) return;
    this.givesUp = true;
    this.log(`no more CUDA graphs are recorded, kernels are launched one by one: ${reason}`);
  }
}

/** What records passes on this device; null, which is told if it was wanted: nothing can. */
export function openPassGraphs(
  training: GraphedTraining,
  { graphs }: Pick<JobSpec['device'], 'graphs'>,
  log: (line: string) => void,
): PassGraphs | null {
  if (training.device.kind !== 'cuda' || !graphs) return null;
  const obstacle = obstacleOf(training);
  if (obstacle === null) return new PassGraphs(training, log);
  log(`no CUDA graphs: ${obstacle}`);
  return null;
}

function obstacleOf({ device, carry, model }: GraphedTraining): string | null {
  if (carry !== null) return 'memory goes from step to step (data.carry)';
  if (model.timeSlice > 0) return 'sequences are cut in time (model.timeSlice)';
  const { driverVersion } = device.gpu();
  if (driverVersion < leastDriver) {
    return `the driver is of CUDA ${Math.floor(driverVersion / 1000)}.${(driverVersion % 1000) / 10}, needed is 12.4`;
  }
  return null;
}

/** It records kernels that begin while the one before them ends. */
const leastDriver = 12_040;

/** Of recordings, whose work can run without a graph all the same. */
const refusals: readonly string[] = ['E-CUDA-GRAPH', 'E-MEMORY'];

function all(batches: readonly UploadedBatch[], { seed, sent }: PassTensors): Tensor[] {
  return [...batches.flatMap(tensorsOf), seed, sent];
}

function releaseAll(batches: readonly UploadedBatch[], tensors: PassTensors): void {
  for (const tensor of all(batches, tensors)) tensor.release();
}

/** What a graph has of a batch beside the values in its tensors. */
function formOf({ numSequences, sliceLength, resets, openTokens, ends, laterTokens }: Batch): string {
  const given = [resets, openTokens, ends, laterTokens].map((values) => Number(values != null));
  return `${numSequences}x${sliceLength}/${given.join('')}`;
}
