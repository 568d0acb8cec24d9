import { cutSequence, sliceLength } from '@longscan/worker';
import { LongscanError, type Mesh, type Slice } from '@longscan/worker/protocol';
import { canonicalSegments, fills, type UnitKeys } from './canonical-units.js';

/** How a job's tokens lie on its ranks. */
export interface Layout {
  readonly mesh: Mesh;
  /** By sp rank; contiguous, equally long, the padding at the end of the last ones. */
  readonly slices: readonly Slice[];
  readonly paddedLength: number;
  readonly padTokens: number;
  readonly sequencesPerRank: number;
}

/** The keys of a job that decide its layout. */
export type LayoutKeys = UnitKeys;

/** Tensors count tokens in 32 bits. */
const mostTokens = 2 ** 31 - 1;

/**
 * Cuts the sequence into one slice per sp rank and the batch into one share per dp rank.
 * @throws LongscanError E-SHAPE, `where` being the key to change, when a slice would hold no token, the batch does not divide, or a rank would have
 * too many tokens at once
 */
export function layOut(job: LayoutKeys): Layout {
  const { sp, dp } = job.parallel;
  const { sequenceLength, batchSize, accumulate } = job.data;
  if (batchSize % (dp * accumulate) !== 0) throw unevenBatch(batchSize, dp * accumulate);
  // In deterministic mode padding follows from the segments, so that it is the same on every mesh.
  const pieces = canonicalSegments(job) ?? sp;
  const sizes = { sequenceLength, sp, chunk: job.model.chunk, pieces };
  const slices = cutSequence(sizes);
  if (slices === null) throw emptySlice(job, sliceLength(sizes));
  const { length } = slices[0]!;
  const numSequences = batchSize / (dp * accumulate);
  if (numSequences * length > mostTokens) throw tooManyTokens(numSequences, length);
  const paddedLength = sp * length;
  return {
    mesh: { sp, dp, numRanks: sp * dp },
    slices,
    paddedLength,
    padTokens: paddedLength - sequenceLength,
    sequencesPerRank: batchSize / dp,
  };
}

function unevenBatch(batchSize: number, divisor: number): LongscanError {
  const below = Math.floor(batchSize / divisor) * divisor;
  const nearest = below === 0 ? [divisor] : [below, below + divisor];
  return new LongscanError({
    code: 'E-SHAPE',
    where: 'data.batchSize',
    found: `${batchSize} sequences for ${divisor} equal shares (parallel.dp x data.accumulate)`,
    expected: `a multiple of ${divisor}`,
    fix: `data.batchSize = ${nearest.join(' or ')}`,
    exitCode: 2,
  });
}

function tooManyTokens(numSequences: number, length: number): LongscanError {
  const isBatch = length <= mostTokens;
  return new LongscanError({
    code: 'E-SHAPE',
    where: isBatch ? 'data.batchSize' : 'data.sequenceLength',
    found: `${numSequences} x ${length} tokens on each rank at once`,
    expected: `at most ${mostTokens}`,
    fix: isBatch ? 'a smaller batch, or data.accumulate' : 'a shorter sequence, or a larger parallel.sp',
    exitCode: 2,
  });
}

function emptySlice(job: LayoutKeys, sliceLength: number): LongscanError {
  const { sequenceLength } = job.data;
  const { sp } = job.parallel;
  const { chunk } = job.model;
  const numFilled = Math.ceil(sequenceLength / sliceLength);
  const isFilled = (ranks: number, tokens: number) => fills(sequenceLength, ranks, tokens);
  const fixes = [`data.sequenceLength >= ${sliceLength * (sp - 1) + 1}`];
  const smallerSp = descending(sp - 1).find((ranks) => isFilled(ranks, chunk));
  if (smallerSp !== undefined) fixes.push(`parallel.sp = ${smallerSp}`);
  const smallerChunk = halves(chunk).find((tokens) => isFilled(sp, tokens));
  if (smallerChunk !== undefined) fixes.push(`model.chunk = ${smallerChunk}`);
  return new LongscanError({
    code: 'E-SHAPE',
    where: 'parallel.sp',
    found: `${sequenceLength} tokens in slices of ${sliceLength} (whole chunks of ${chunk}) fill ${numFilled} of ${sp} ranks`,
    expected: 'at least one token on every rank',
    fix: fixes.join(', or '),
    exitCode: 2,
  });
}

function descending(from: number): number[] {
  return Array.from({ length: from }, (_, index) => from - index);
}

function halves(chunk: number): number[] {
  return Array.from({ length: Math.floor(Math.log2(chunk)) }, (_, index) =>
    Math.floor(chunk / 2 ** (index + 1)),
  );
}
