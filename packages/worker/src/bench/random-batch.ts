import { type Batch, ignoredLabel } from '../data/index.js';
import type { Plan } from '../protocol/plan.js';

/**
 * One rank's micro-batches of random tokens: a function of a token's place in the batch alone, so that ranks that share a
 * sequence see slices of the same one. Every sequence is one document.
 */
export function randomBatches(plan: Plan, rank: number): Batch[] {
  const { data, model } = plan.jobSpec;
  const { sequenceLength, batchSize, accumulate } = data;
  const slice = plan.slices[rank % plan.mesh.sp]!;
  const firstSequence = Math.floor(rank / plan.mesh.sp) * plan.sequencesPerRank;
  const numSequences = plan.sequencesPerRank / accumulate;
  const tokenAt = (sequence: number, position: number) => scrambled(2 * sequence, position) % model.vocabSize;
  const isHidden = (sequence: number, position: number) =>
    scrambled(2 * sequence + 1, position) < data.maskRate * 2 ** 32;
  const isMasked = model.objective === 'masked';
  const numValidTokens = isMasked
    ? countPairs(batchSize, sequenceLength, isHidden)
    : batchSize * sequenceLength;

  return Array.from({ length: accumulate }, (_, micro) => {
    const tokens = new Int32Array(numSequences * slice.length);
    const labels = new Int32Array(tokens.length).fill(ignoredLabel);
    for (let b = 0; b < numSequences; b++) {
      const sequence = firstSequence + micro * numSequences + b;
      for (let i = 0; i < slice.numTokens; i++) {
        const [position, at] = [slice.start + i, b * slice.length + i];
        const hides = isMasked && isHidden(sequence, position);
        tokens[at] = hides ? model.vocabSize : tokenAt(sequence, position);
        if (hides) labels[at] = tokenAt(sequence, position);
        else if (!isMasked) labels[at] = tokenAt(sequence, position + 1);
      }
    }
    return {
      numSequences,
      sliceLength: slice.length,
      tokens,
      labels,
      numValidTokens,
      resets: null,
      openTokens: null,
    };
  });
}

function countPairs(rows: number, cols: number, isCounted: (row: number, col: number) => boolean): number {
  let count = 0;
  for (let row = 0; row < rows; row++) for (let col = 0; col < cols; col++) if (isCounted(row, col)) count++;
  return count;
}

/** 32 bits that look random, of two numbers (the end of MurmurHash3). */
function scrambled(a: number, b: number): number {
  let h = Math.imul(a, 0x9e37_79b1) ^ Math.imul(b, 0x85eb_ca6b);
  h = Math.imul(h ^ (h >>> 16), 0x85eb_ca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2_ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
