import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Layer } from '@longscan/worker';
import type { JobFile, LayerEntry } from '@longscan/worker/protocol';
import type { SchemaChecked } from './check-schema.js';
import { describeValue } from './describe-value.js';
import { closest, suggest } from './edit-distance.js';
import type { MergedJob } from './merge.js';
import type { ProblemList } from './problems.js';

/** An entry of `model.layers` with the place it was written at. */
interface WrittenEntry {
  readonly use: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly path: readonly string[];
}

/** The layers of the worker's folder. */
export interface LayerRegister {
  readonly names: readonly string[];
  load(name: string): Promise<Layer>;
}

/** True for a layer given as a file of the user's rather than by name. */
export function isLayerPath(use: string): boolean {
  return /[/\\]/.test(use) || /\.m?[jt]s$/.test(use);
}

/**
 * Repeats the pattern of `model.layers` to `numLayers` entries and lays each entry's options over those of
 * `[model.layer.<name>]`. Adds E-REG, E-PLUGIN (no such file), E-SHAPE (pattern does not divide numLayers) and
 * E-CFG-KEY / E-CFG-TYPE (options that the layer does not take).
 */
export async function resolveLayers(
  { job, isSound }: SchemaChecked,
  merged: MergedJob,
  baseDir: string,
  register: LayerRegister,
  problems: ProblemList,
): Promise<LayerEntry[]> {
  // The default pattern stands in for one that is no pattern; what is wrong with that has been said.
  if (!isSound('model.layers')) return [];
  const pattern = writtenEntries(job.model.layers);
  const uses = new Set(pattern.map((entry) => entry.use));
  for (const entry of pattern) checkUse(entry, merged, baseDir, register, problems);
  for (const name of Object.keys(job.model.layer)) {
    if (uses.has(name) || register.names.includes(name)) continue;
    reportUnknownLayer(merged.placeOf(['model', 'layer', name], 'key'), name, register, problems);
  }
  await checkOptions(job, pattern, merged, register, problems);
  if (isSound('model.numLayers', 'model.layers'))
    checkPatternLength(pattern.length, job.model.numLayers, merged, problems);

  return Array.from({ length: job.model.numLayers }, (_, index) => {
    const { use, options } = pattern[index % pattern.length]!;
    return {
      use,
      options: { ...job.model.layer[use], ...options },
      file: isLayerPath(use) ? resolve(baseDir, use) : null,
    };
  });
}

function writtenEntries(layers: JobFile['model']['layers']): WrittenEntry[] {
  const list = Array.isArray(layers) ? layers : [layers];
  return list.map((entry, index) => {
    const path = ['model', 'layers', ...(Array.isArray(layers) ? [String(index)] : [])];
    if (typeof entry === 'string') return { use: entry, options: {}, path };
    const { use, ...options } = entry;
    return { use, options, path };
  });
}

function checkUse(
  { use, path }: WrittenEntry,
  merged: MergedJob,
  baseDir: string,
  register: LayerRegister,
  problems: ProblemList,
): void {
  if (!isLayerPath(use)) {
    if (!register.names.includes(use)) reportUnknownLayer(merged.placeOf(path), use, register, problems);
  } else if (!existsSync(resolve(baseDir, use))) {
    problems.add({
      code: 'E-PLUGIN',
      where: merged.placeOf(path),
      found: `no layer file ${resolve(baseDir, use)}`,
      fix: 'a path counts from the job file; longscan layers new FILE writes a starting one',
    });
  }
}

function reportUnknownLayer(
  where: string,
  name: string,
  register: LayerRegister,
  problems: ProblemList,
): void {
  const near = closest(name, register.names);
  problems.add({
    code: 'E-REG',
    where,
    found: `unknown layer ${JSON.stringify(name)}`,
    expected: `one of ${register.names.join(', ')}, or a path`,
    fix: near === null ? 'longscan layers lists them with their options' : `did you mean ${near}?`,
  });
}

/** Options of layer files of the user's are checked where the file is imported: in the ranks. */
async function checkOptions(
  job: JobFile,
  pattern: readonly WrittenEntry[],
  merged: MergedJob,
  register: LayerRegister,
  problems: ProblemList,
): Promise<void> {
  const defaults = Object.entries(job.model.layer).map(([use, options]) => ({
    use,
    options,
    path: ['model', 'layer', use],
  }));
  for (const { use, options, path } of [...pattern, ...defaults]) {
    if (!register.names.includes(use)) continue;
    const layer = await register.load(use);
    for (const [key, value] of Object.entries(options)) {
      checkOption(layer, [...path, key], value, merged, problems);
    }
  }
}

function checkOption(
  layer: Layer,
  path: readonly string[],
  value: unknown,
  merged: MergedJob,
  problems: ProblemList,
): void {
  const key = path.at(-1) ?? '';
  if (!Object.hasOwn(layer.config, key)) {
    const where = merged.placeOf(path, 'key');
    const fix = suggest(key, Object.keys(layer.config));
    problems.add({ code: 'E-CFG-KEY', where, found: `layer ${layer.name} has no such option`, fix });
    return;
  }
  const preset = layer.config[key];
  const where = merged.placeOf(path);
  const found = describeValue(value);
  if (typeof preset !== typeof value || Number.isNaN(value)) {
    const expected = `a ${typeof preset} like the default ${JSON.stringify(preset)}`;
    problems.add({ code: 'E-CFG-TYPE', where, found, expected, fix: `set ${key} to such a value` });
    return;
  }
  const choices = layer.choices?.[key];
  if (choices === undefined || choices.some((choice) => choice === value)) return;
  const expected = `one of ${choices.map((choice) => JSON.stringify(choice)).join(', ')}`;
  problems.add({
    code: 'E-CFG-VALUE',
    where,
    found,
    expected,
    fix: suggest(String(value), choices.map(String)),
  });
}

function checkPatternLength(
  length: number,
  numLayers: number,
  merged: MergedJob,
  problems: ProblemList,
): void {
  if (numLayers % length === 0) return;
  const below = Math.floor(numLayers / length) * length;
  const nearest = below === 0 ? [length] : [below, below + length];
  problems.add({
    code: 'E-SHAPE',
    where: merged.placeOf(['model', 'layers']),
    found: `a pattern of ${length} layers for numLayers ${numLayers}`,
    expected: 'a length that divides numLayers',
    fix: `numLayers = ${nearest.join(' or ')}`,
  });
}
