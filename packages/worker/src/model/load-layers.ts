import { LongscanError, reportBug, Tensor } from '@longscan/kernels';
import { importBundle } from '../import-bundle.js';
import type { Layer, LayerConfig, LayerFunction, ParameterDeclarer } from '../layer.js';
import type { JobSpec, LayerEntry } from '../protocol/job-spec.js';
import { ownLine, ownStack } from './own-line.js';

/** A layer's module and the options that a job gives it. */
export interface LoadedLayer {
  readonly layer: Layer;
  readonly config: LayerConfig;
  /** For a layer outside the packages, its file. */
  readonly file: string | null;
}

/**
 * Imports the layers of a model, in its order. `modules`: bundled module of each layer file outside the packages.
 * @throws LongscanError E-PLUGIN, E-CFG-KEY, E-CFG-TYPE
 */
export async function loadLayers(
  model: JobSpec['model'],
  modules: Readonly<Record<string, string>> = {},
): Promise<LoadedLayer[]> {
  return Promise.all(
    model.layers.map(async (entry) => {
      const layer = await importLayer(entry, modules);
      const config = layerConfig(layer, entry.options, model.numHeads);
      return { layer, config, file: entry.file };
    }),
  );
}

/**
 * The layer's function, with its tensors declared. What a layer file of the user's throws, here or when it is called, is
 * not our bug: E-PLUGIN with its own stack, or the line of the file that an op or a declaration refused.
 */
export function createLayer({ layer, config, file }: LoadedLayer, param: ParameterDeclarer): LayerFunction {
  if (file === null) return layer.create(config, param);
  const blame = <T>(body: () => T): T => {
    try {
      return body();
    } catch (cause) {
      if (cause instanceof LongscanError) throw refusals.has(cause.code) ? atLine(cause, file) : cause;
      const found = cause instanceof Error ? ownStack(cause) : String(cause);
      throw new LongscanError({
        code: 'E-PLUGIN',
        where: `layer ${file}`,
        found,
        exitCode: 2,
        cause,
        fix: 'correct that place of the file',
      });
    }
  };
  const forward = blame(() => layer.create(config, param));
  return (x, context) => {
    const output: unknown = blame(() => forward(x, context));
    if (output instanceof Tensor && output.shape.join() === x.shape.join()) return output;
    throw new LongscanError({
      code: 'E-PLUGIN',
      where: `layer ${file}`,
      found:
        output instanceof Tensor
          ? `an output of shape [${output.shape.join(', ')}]`
          : 'an output that is no tensor',
      expected: `one of shape [${x.shape.join(', ')}], as its input`,
      exitCode: 2,
      fix: 'return a tensor of that shape from the function that create returns',
    });
  };
}

/** Codes of what is wrong with the arguments of a call; other errors come from elsewhere and pass through a layer. */
const refusals: ReadonlySet<string> = new Set(['E-SHAPE', 'E-ARGUMENT', 'E-PLUGIN', 'E-CFG-RANGE']);

function atLine(cause: LongscanError, file: string): LongscanError {
  const where = `layer ${ownLine(cause) ?? file}, ${cause.parts.where}`;
  return new LongscanError({ ...cause.parts, where, exitCode: 2, cause });
}

/** Options of the job over the layer's defaults; `numHeads` defaults to the model's. */
function layerConfig(
  layer: Layer,
  options: Readonly<Record<string, unknown>>,
  numHeads: number,
): LayerConfig {
  const config: Record<string, number | string | boolean> = { ...layer.config };
  if ('numHeads' in config) config.numHeads = numHeads;
  for (const [key, value] of Object.entries(options)) {
    const where = `model.layers, layer ${layer.name}, ${key}`;
    const fallback = layer.config[key];
    if (fallback === undefined) {
      const expected = `one of ${Object.keys(layer.config).join(', ')}`;
      throw new LongscanError({
        code: 'E-CFG-KEY',
        where,
        found: 'an unknown option',
        expected,
        exitCode: 2,
        fix: 'correct the name, or take it out',
      });
    }
    const choices = layer.choices?.[key];
    const isChoice = choices === undefined || choices.includes(value as never);
    if (typeof value !== typeof fallback || Number.isNaN(value) || !isChoice) {
      const expected = choices ? `one of ${choices.join(', ')}` : `a ${typeof fallback}`;
      const found = JSON.stringify(value);
      throw new LongscanError({
        code: 'E-CFG-TYPE',
        where,
        found,
        expected,
        exitCode: 2,
        fix: `set ${key} to such a value`,
      });
    }
    config[key] = value as number | string | boolean;
  }
  return config;
}

/** Imports one layer. @throws LongscanError E-PLUGIN */
export async function importLayer(
  entry: Omit<LayerEntry, 'options'>,
  modules: Readonly<Record<string, string>>,
): Promise<Layer> {
  const where = `layer ${entry.use}`;
  let module: { default?: unknown };
  try {
    module =
      entry.file === null
        ? await import(new URL(`../layers/${entry.use}.js`, import.meta.url).href)
        : await importBundle(modules[entry.file] ?? entry.file);
  } catch (cause) {
    throw entry.file === null ? ourMistake(cause, where) : mistakeAtLoading(cause, where);
  }
  const layer = module.default as Partial<Layer> | undefined;
  if (typeof layer?.create === 'function' && typeof layer.name === 'string' && layer.config) {
    return layer as Layer;
  }
  throw new LongscanError({
    code: 'E-PLUGIN',
    where,
    found: 'a module without a layer',
    expected: '`export default defineLayer({ … })`',
    exitCode: 2,
    fix: 'have the file export its layer so',
  });
}

/** What a layer file of the user's throws while it is loaded: what it was, and the line of the file. */
function mistakeAtLoading(cause: unknown, where: string): LongscanError {
  const line = cause instanceof Error ? ownLine(cause) : null;
  const place = line === null ? where : `${where}, ${line}`;
  if (cause instanceof LongscanError) {
    return new LongscanError({ ...cause.parts, where: `${place}, ${cause.parts.where}`, exitCode: 2, cause });
  }
  return new LongscanError({
    code: 'E-PLUGIN',
    where: place,
    found: `does not load: ${cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause)}`,
    exitCode: 2,
    cause,
    fix: 'correct that place of the file',
  });
}

function ourMistake(cause: unknown, where: string): LongscanError {
  const found = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
  const parts = { code: 'E-PLUGIN', where, found: `does not load: ${found}` };
  return new LongscanError({ ...parts, exitCode: 2, cause, fix: reportBug() });
}
