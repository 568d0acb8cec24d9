import { numberList } from './options.js';

/** Flag with one size, as `readBytes` reads it. */
export function byteSize(flag: string, describe: string) {
  const coerce = (given: string | readonly string[]): number => {
    if (typeof given !== 'string') throw new Error(`${flag} given more than once`);
    const bytes = readBytes(given);
    if (bytes === null) throw new Error(`${flag} ${JSON.stringify(given)} where ${expected} is expected`);
    return bytes;
  };
  return { type: 'string', nargs: 1, describe, coerce } as const;
}

/** Flag with sizes, `8,64K,2M`, each once; they come in rising order. Everything wrong is told together. */
export function byteSizes(flag: string, describe: string) {
  return numberList(flag, describe, `not ${expected}`, readBytes);
}

const smallest = 8;
const largest = 2 ** 30;
const expected = 'a size from 8 to 1G in whole f32 numbers, such as 8, 64K or 2M';

const units: Readonly<Record<string, number>> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };

/** `8`, `64K`, `2MiB`: bytes of whole f32 numbers; null for anything else. */
function readBytes(text: string): number | null {
  const [, digits, unit] = /^(\d{1,10})(?:([KMG])(?:iB)?|B)?$/i.exec(text.trim()) ?? [];
  if (digits === undefined) return null;
  const bytes = Number(digits) * units[(unit ?? '').toUpperCase()]!;
  return bytes >= smallest && bytes <= largest && bytes % 4 === 0 ? bytes : null;
}
