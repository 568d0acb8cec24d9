import type { Batch } from '../data/index.js';
import { hasBoundaries } from '../model/trace-bidirectional.js';
import type { Plan } from '../protocol/plan.js';

/**
 * One rank's micro-batches of a step with nothing in them, in the shapes of those that a text gives (`documents`: boundaries
 * of documents where the job's text may have them) or that random tokens do. What a rank enqueues depends on no more.
 */
export function blankBatches(plan: Plan, rank: number, documents: boolean): Batch[] {
  const { data, model } = plan.jobSpec;
  const sliceLength = plan.slices[rank % plan.mesh.sp]!.length;
  const numSequences = plan.sequencesPerRank / data.accumulate;
  const perToken = () => new Int32Array(numSequences * sliceLength);
  const perSequence = () => new Int32Array(numSequences);
  const isMasked = model.objective === 'masked';
  const isPacked = data.packing && (data.format === 'jsonl' || data.separator !== null);
  const isCut = documents && (isMasked ? hasBoundaries(data, plan.paddedLength) : isPacked);
  return Array.from({ length: data.accumulate }, () => ({
    ...{ numSequences, sliceLength, tokens: perToken(), labels: perToken() },
    numValidTokens: data.batchSize * data.sequenceLength,
    resets: isCut ? perToken() : null,
    openTokens: isCut ? perSequence() : null,
    ...(isCut && isMasked && { ends: perToken(), laterTokens: perSequence() }),
  }));
}
