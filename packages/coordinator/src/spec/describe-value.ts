/** A value as a message shows it: short, and with its type where that is the point. */
export function describeValue(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return `${shorten(JSON.stringify(value))} (a string)`;
    case 'number':
    case 'bigint':
    case 'boolean':
      return String(value);
    default:
      if (value === null || value === undefined) return 'nothing';
      if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : `a list of ${value.length}`;
      return value instanceof Date ? 'a date' : 'a table';
  }
}

/** The number that a text like `10k`, `1_000` or `"0.5"` stands for, or null. */
export function numberMeant(text: string): number | null {
  const match = /^\s*(-?\d[\d_,]*(?:\.\d+)?(?:e[+-]?\d+)?)\s*([kKmMgG]?)\s*$/.exec(text);
  if (match === null) return null;
  const scale = { k: 1e3, m: 1e6, g: 1e9 }[(match[2] ?? '').toLowerCase()] ?? 1;
  const number = Number((match[1] ?? '').replaceAll(/[_,]/g, '')) * scale;
  return Number.isFinite(number) ? number : null;
}

function shorten(text: string): string {
  return text.length <= 60 ? text : `${text.slice(0, 57)}…"`;
}
