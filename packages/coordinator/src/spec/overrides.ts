import { LongscanError } from '@longscan/worker/protocol';
import { parse, TomlError } from 'smol-toml';
import { normalizeWord } from './edit-distance.js';
import type { Origin } from './origin.js';
import { isTextOnly, keysOfSection, schemaOfKey, sectionNames } from './schema-keys.js';

/** One value set from outside the job file. */
export interface Override {
  readonly path: readonly string[];
  readonly value: unknown;
  readonly origin: Origin;
}

/** What `launch()` takes: `key=value` texts as from `--set`, or values by dotted key. */
export type Overrides = readonly string[] | Readonly<Record<string, unknown>>;

/**
 * Reads `section.key=value`.
 * @throws LongscanError E-CLI-SET when there is no key or no `=`
 */
export function parseSet(text: string): Override {
  const split = text.indexOf('=');
  const path = text.slice(0, Math.max(split, 0)).trim().split('.');
  if (split < 0 || path.length < 2 || path.some((part) => part === '')) {
    throw new LongscanError({
      code: 'E-CLI-SET',
      where: `--set ${text}`,
      found: split < 0 ? 'no "="' : 'no key of the form section.key',
      expected: '--set section.key=value',
      fix: 'for example --set job.steps=100',
      exitCode: 2,
    });
  }
  return { path, value: parseText(path, text.slice(split + 1)), origin: { kind: 'set' } };
}

/** `--set` texts, or typed values from a script. */
export function readOverrides(overrides: Overrides): Override[] {
  if (isTextList(overrides)) return overrides.map(parseSet);
  return Object.entries(overrides).map(([key, value]) => ({
    path: key.split('.'),
    value,
    origin: { kind: 'script' },
  }));
}

function isTextList(overrides: Overrides): overrides is readonly string[] {
  return Array.isArray(overrides);
}

/** Variables `LONGSCAN_SECTION__KEY`; case and single underscores do not matter: `LONGSCAN_DATA__BATCH_SIZE`. */
export function readEnvironment(env: NodeJS.ProcessEnv): Override[] {
  const prefix = 'LONGSCAN_';
  return Object.entries(env)
    .filter(([name]) => name.startsWith(prefix) && name.includes('__'))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, text = '']) => {
      const [section = '', key = '', ...rest] = name.slice(prefix.length).split('__');
      const knownSection = matchWord(section, sectionNames);
      const path = [knownSection, matchWord(key, keysOfSection(knownSection)), ...rest];
      return { path, value: parseText(path, text), origin: { kind: 'env', name } };
    });
}

/** The known name that `word` spells; an unknown one stays as it is and is reported with the other errors. */
function matchWord(word: string, known: readonly string[]): string {
  return known.find((name) => normalizeWord(name) === normalizeWord(word)) ?? word.toLowerCase();
}

/** The schema's type decides first (text keys take the raw text), then TOML, else it is a string. */
function parseText(path: readonly string[], text: string): unknown {
  const schema = path.length === 2 ? schemaOfKey(path) : null;
  if (schema !== null && isTextOnly(schema)) return text;
  try {
    const parsed = parse(`value = ${text}`, { integersAsBigInt: 'asNeeded' });
    // A text with a line end could bring keys of its own; that is no value.
    return Object.keys(parsed).length === 1 ? parsed.value : text;
  } catch (cause) {
    if (cause instanceof TomlError) return text;
    throw cause;
  }
}
