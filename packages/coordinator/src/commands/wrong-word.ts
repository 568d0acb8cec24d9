import { closest } from '../spec/edit-distance.js';
import { usage } from '../usage.js';

/**
 * The words given to a flag that may be repeated, each once; all known ones where none is given.
 * @throws LongscanError E-CLI-USAGE with the nearest known word for one that is not
 */
export function knownWords<Word extends string>(
  flag: string,
  what: string,
  given: readonly string[],
  known: readonly Word[],
): Word[] {
  if (given.length === 0) return [...known];
  const isKnown = (word: string): word is Word => known.some((one) => one === word);
  return [...new Set(given)].map((word) => {
    if (isKnown(word)) return word;
    const near = closest(word, known);
    const fix = near === null ? undefined : `did you mean ${near}?`;
    throw usage(`${flag} ${word}`, `no ${what} of this name`, `one of ${known.join(', ')}`, fix);
  });
}
