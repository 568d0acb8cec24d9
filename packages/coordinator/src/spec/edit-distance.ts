/**
 * Damerau–Levenshtein distance (optimal string alignment): insertions, deletions, substitutions and swaps of
 * neighbours that turn `a` into `b`. A swap counts once, since that is what fingers do.
 */
export function editDistance(a: string, b: string): number {
  const width = b.length + 1;
  const table = new Uint32Array((a.length + 1) * width);
  const at = (i: number, j: number) => table[i * width + j] ?? 0;
  for (let i = 0; i <= a.length; i++) table[i * width] = i;
  for (let j = 0; j <= b.length; j++) table[j] = j;
  for (let i = 1; i <= a.length; i++) {
    for (let j = 1; j <= b.length; j++) {
      const substitution = a[i - 1] === b[j - 1] ? 0 : 1;
      let best = Math.min(at(i - 1, j) + 1, at(i, j - 1) + 1, at(i - 1, j - 1) + substitution);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        best = Math.min(best, at(i - 2, j - 2) + 1);
      table[i * width + j] = best;
    }
  }
  return at(a.length, b.length);
}

/** Longer words cannot be a slip of a name of ours, and the table's size is their product. */
const maxWordLength = 64;

/** Other names of what we call something, which a slip of another name of ours must not be taken for. */
const synonyms: ReadonlyMap<string, string> = new Map([['gpu', 'cuda']]);

/**
 * The candidate most like `word`, or null when none is near enough to be what was meant. Case, `_` and `-` are
 * ignored: `learning_rate` and `learningRate` are the same word.
 */
export function closest(word: string, candidates: Iterable<string>): string | null {
  if (word.length > maxWordLength) return null;
  const wanted = normalizeWord(word);
  const all = [...candidates];
  const meant = synonyms.get(wanted);
  if (meant !== undefined && all.includes(meant)) return meant;
  let best: string | null = null;
  let bestDistance = Math.max(1, Math.floor(wanted.length / 3)) + 1;
  for (const candidate of all) {
    const distance = editDistance(wanted, normalizeWord(candidate));
    // A distance as long as the word itself means that nothing of it was kept.
    if (distance < bestDistance && distance < wanted.length) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** The same word whatever its casing style. */
export function normalizeWord(word: string): string {
  return word.toLowerCase().replaceAll(/[_-]/g, '');
}

/** `did you mean X?`, or what there is to choose from. */
export function suggest(word: string, candidates: readonly string[]): string {
  const near = closest(word, candidates);
  return near === null ? `use one of ${candidates.join(', ')}` : `did you mean ${near}?`;
}
