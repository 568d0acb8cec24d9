import { pieceLength } from '@longscan/worker';
import { type JobSpec, LongscanError } from '@longscan/worker/protocol';

/** The keys of a job that decide its canonical units. */
export interface UnitKeys {
  readonly job: Pick<JobSpec['job'], 'deterministic' | 'canonicalSegments'>;
  readonly parallel: Pick<JobSpec['parallel'], 'sp' | 'dp' | 'attentionStrategy'>;
  readonly data: Pick<JobSpec['data'], 'sequenceLength' | 'batchSize' | 'accumulate' | 'carry'>;
  readonly model: Pick<JobSpec['model'], 'chunk'>;
}

/** The strategy for softmax layers that attends unit by unit. */
const attentionByUnit = 'kv-all-gather';

/** Segments of a sequence where the job does not say: enough for the ranks of one machine. */
const defaultSegments = 8;

/**
 * Deterministic mode: into how many segments a sequence is cut, whatever the number of ranks. By itself 8, or as many as a
 * short sequence fills with at least one token each. Null: not in that mode.
 */
export function canonicalSegments({ job, data, model }: Omit<UnitKeys, 'parallel'>): number | null {
  if (!job.deterministic) return null;
  if (job.canonicalSegments > 0) return job.canonicalSegments;
  let segments = defaultSegments;
  while (segments > 1 && !fills(data.sequenceLength, segments, model.chunk)) segments /= 2;
  return segments;
}

/** Whether each piece gets a token. */
export function fills(sequenceLength: number, pieces: number, chunk: number): boolean {
  return pieceLength(sequenceLength, pieces, chunk) * (pieces - 1) < sequenceLength;
}

/**
 * What keeps a job from being deterministic: units are added as one balanced binary tree of which every rank owns a whole
 * subtree. Each error's `where` is the key to change.
 */
export function unitProblems(keys: UnitKeys): LongscanError[] {
  const { job, parallel, data, model } = keys;
  const segments = canonicalSegments(keys);
  if (segments === null) {
    if (job.canonicalSegments === 0) return [];
    const found = `${job.canonicalSegments} without job.deterministic`;
    return [refusal('job.canonicalSegments', found, 'no such key', 'job.deterministic = true')];
  }
  const powers = {
    'job.canonicalSegments': segments,
    'parallel.sp': parallel.sp,
    'parallel.dp': parallel.dp,
    'data.batchSize': data.batchSize,
    'data.accumulate': data.accumulate,
  };
  const problems = Object.entries(powers)
    .filter(([, value]) => !isPowerOfTwo(value))
    .map(([key, value]) => {
      const below = 2 ** Math.floor(Math.log2(value));
      const found = `${value} in deterministic mode`;
      return refusal(key, found, 'a power of two', `${key} = ${below} or ${2 * below}`);
    });
  if (isPowerOfTwo(segments) && isPowerOfTwo(parallel.sp) && parallel.sp > segments) {
    const found = `${parallel.sp} ranks for ${segments} canonical segments of a sequence`;
    const fix = `parallel.sp = ${segments}, or job.canonicalSegments = ${parallel.sp} for every run of the job`;
    problems.push(refusal('parallel.sp', found, 'at least one whole segment on every rank', fix));
  }
  if (!fills(data.sequenceLength, segments, model.chunk)) {
    const length = pieceLength(data.sequenceLength, segments, model.chunk);
    const found = `${segments} segments of ${length} tokens (whole chunks of ${model.chunk}) for a sequence of ${data.sequenceLength}`;
    const most = canonicalSegments({ ...keys, job: { deterministic: true, canonicalSegments: 0 } });
    const fix = `job.canonicalSegments = ${most}, or a smaller model.chunk`;
    problems.push(refusal('job.canonicalSegments', found, 'at least one token in every segment', fix));
  }
  const { attentionStrategy } = parallel;
  if (attentionStrategy !== 'auto' && attentionStrategy !== attentionByUnit) {
    const found = `"${attentionStrategy}" in deterministic mode, which adds gradients of keys in the order of units`;
    const fix = `parallel.attentionStrategy = "${attentionByUnit}"`;
    problems.push(refusal('parallel.attentionStrategy', found, `"${attentionByUnit}"`, fix));
  }
  if (data.carry) {
    const found = 'true in deterministic mode, whose sequences begin with an empty memory';
    problems.push(refusal('data.carry', found, 'false', 'data.carry = false, or job.deterministic = false'));
  }
  return problems;
}

function isPowerOfTwo(value: number): boolean {
  return Number.isInteger(Math.log2(value));
}

function refusal(where: string, found: string, expected: string, fix: string): LongscanError {
  return new LongscanError({ code: 'E-CFG-VALUE', where, found, expected, fix, exitCode: 2 });
}
