import { type JobSpec, LongscanError } from '@longscan/worker/protocol';

/** A job by what is changed of it. */
export type LoadJob = (overrides: readonly string[]) => Promise<JobSpec>;

/** Parts of the job's sequence length that are measured. */
const lengthParts = [1 / 8, 1 / 4, 1 / 2, 1];

/** One rank with this many threads, and no others. */
const alone = ['parallel.sp=1', 'parallel.dp=1'];

/**
 * The shapes of a job on one rank that say what its ops cost: several sequence lengths, in whole chunks; and one of half the
 * width, so that what grows with bytes is told from what grows with FLOPs. `notes`: which of them the job does not admit.
 */
export async function measuredShapes(
  loadJob: LoadJob,
  { data, model }: JobSpec,
): Promise<{ shapes: JobSpec[]; notes: string[] }> {
  const lengthOf = (part: number) =>
    Math.max(1, Math.round((part * data.sequenceLength) / model.chunk)) * model.chunk;
  const lengths = [...new Set(lengthParts.map(lengthOf))];
  const shapes: JobSpec[] = [];
  for (const length of lengths) shapes.push(await loadJob([...alone, `data.sequenceLength=${length}`]));
  const narrow = Math.floor(model.dModel / 2);
  try {
    const keys = [`model.dModel=${narrow}`, `data.sequenceLength=${lengthOf(1 / 2)}`];
    return { shapes: [...shapes, await loadJob([...alone, ...keys])], notes: [] };
  } catch (error) {
    if (!(error instanceof LongscanError)) throw error;
    return {
      shapes,
      notes: [
        `the job does not admit model.dModel = ${narrow}: costs are of one width only (${error.message})`,
      ],
    };
  }
}
