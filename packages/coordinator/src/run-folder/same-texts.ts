import { isDeepStrictEqual } from 'node:util';
import { openText } from '@longscan/worker/data';
import { type JobSpec, LongscanError, type TextIdentity, type Texts } from '@longscan/worker/protocol';

/** What a run that is resumed reads, and what is to be said of it. */
export interface TextsToGoOnWith {
  readonly texts: Texts;
  readonly incident: { readonly code: string; readonly message: string } | null;
  /** Why it cannot go on: a text is another one. */
  readonly change: string | null;
}

/**
 * Holds the texts of a run against those that there are now. Which batches a step has follows from their sizes, so one that has
 * grown is read as far as it was when the run began, and one that is another ends the run: it would go on as neither the old run
 * nor a new one.
 *
 * @param before Of the run's checkpoint; null in one that does not say.
 * @param now Of the same job.
 * @throws LongscanError E-DATA-READ (exit code 4)
 */
export function sameTexts(data: JobSpec['data'], before: Texts | null, now: Texts): TextsToGoOnWith {
  if (before === null) {
    const message = `its checkpoint, of an earlier version, does not say which text the run has learned from: it goes on with ${data.path} as it is now`;
    return { texts: now, incident: { code: 'W-DATA-UNKNOWN', message }, change: null };
  }
  // They have been read to know them: a second time only where something differs.
  if (isDeepStrictEqual(before, now)) return { texts: before, incident: null, change: null };
  try {
    openText(data, before).close();
  } catch (error) {
    // A text that cannot be read is not another one.
    if (!(error instanceof LongscanError) || error.code === 'E-DATA-READ') throw error;
    const { where, found } = error.parts;
    return {
      texts: now,
      incident: null,
      change: `the text ${where} has changed since the run began: ${found}`,
    };
  }
  const grown = [
    growth(data.path, before.path, now.path),
    growth(String(data.validation), before.validation, now.validation),
  ].filter((text) => text !== null);
  const message = `${grown.join('; ')}: the run goes on with what it began with, a new one takes all`;
  const incident = grown.length === 0 ? null : { code: 'I-DATA-GROWN', message };
  return { texts: before, incident, change: null };
}

function growth(path: string, before: TextIdentity | null, now: TextIdentity | null): string | null {
  if (before === null || now === null || now.bytes === before.bytes) return null;
  return `${path} has grown from ${before.bytes} bytes to ${now.bytes} since the run began`;
}
