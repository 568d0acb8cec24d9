import type { JobSpec, LayerEntry } from '@longscan/worker/protocol';
import { stringify } from 'smol-toml';
import { formatOrigin, type Origin } from './origin.js';
import { sectionNames } from './schema-keys.js';

/**
 * `job.resolved.toml`: every value of a job and, as a comment, where it came from. The file is itself a job file:
 * reading it gives the same JobSpec wherever it lies, since its paths are absolute.
 */
export function formatResolvedJob(job: JobSpec, originOf: (key: string) => Origin): string {
  const sections = sectionNames.map((section) => {
    const values = Object.entries(job[section as keyof JobSpec]).map(([key, value]) => {
      const origin = formatOrigin(originOf(`${section}.${key}`));
      // TOML has no null: the key is absent, which the comment says.
      if (value === null) return `# ${key} is not set # ${origin}`;
      if (key === 'layers') return `${key} = ${formatLayers(value as readonly LayerEntry[])} # ${origin}`;
      return `${key} = ${formatValue(value)} # ${origin}`;
    });
    return [`[${section}]`, ...values, ''].join('\n');
  });
  return sections.join('\n');
}

function formatLayers(layers: readonly LayerEntry[]): string {
  const lines = layers.map(({ use, options, file }) => {
    const pairs = Object.entries({ use: file ?? use, ...options });
    return `  { ${pairs.map(([key, value]) => `${formatKey(key)} = ${formatValue(value)}`).join(', ')} },`;
  });
  return ['[', ...lines, ']'].join('\n');
}

function formatKey(key: string): string {
  return /^[A-Za-z0-9_-]+$/.test(key) ? key : formatValue(key);
}

/** A value on one line. */
function formatValue(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(formatValue).join(', ')}]`;
  if (typeof value === 'object' && value !== null) {
    const pairs = Object.entries(value).map(([key, inner]) => `${formatKey(key)} = ${formatValue(inner)}`);
    return pairs.length === 0 ? '{}' : `{ ${pairs.join(', ')} }`;
  }
  return stringify({ value })
    .replace(/^value = /, '')
    .trimEnd();
}
