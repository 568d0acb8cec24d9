import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { type LayerEntry, LongscanError } from '@longscan/worker/protocol';
import type { BuildFailure, BuildResult, OutputFile } from 'esbuild';
import { TemporaryFolder } from './on-disk.js';
import { runFiles, writeRunFile } from './run-folder.js';

/** A layer file of the user's and all it imports (except `@longscan/*`) as one module. */
export interface BundledLayer {
  /** Absolute path of the layer file. */
  readonly file: string;
  /** Of the code without its source map, hex: the same wherever the file lies. */
  readonly sha256: string;
  /** ES module with an inline source map, so that stack traces name lines of the `.ts` file. */
  readonly code: string;
}

/**
 * Bundles a layer file outside the packages. TypeScript is only stripped of its types, not checked.
 *
 * @throws LongscanError E-PLUGIN (exit code 2) with file, line and column of the first thing wrong.
 */
export async function bundleLayer(file: string): Promise<BundledLayer> {
  // Loaded here, since few jobs have layer files of their own.
  const { build } = await import('esbuild');
  let result: BuildResult<{ write: false }>;
  try {
    result = await build({
      entryPoints: [file],
      absWorkingDir: dirname(file),
      bundle: true,
      write: false,
      format: 'esm',
      platform: 'node',
      target: 'node20',
      external: ['@longscan/*'],
      sourcemap: 'inline',
      // With the slash: sources are appended as they are.
      sourceRoot: `${dirname(file)}/`,
      logLevel: 'silent',
    });
  } catch (error) {
    throw unbundled(file, error as BuildFailure);
  }
  const [output] = result.outputFiles as [OutputFile];
  const code = output.text;
  const bare = code.slice(0, code.lastIndexOf('//# sourceMappingURL='));
  return { file, sha256: createHash('sha256').update(bare).digest('hex'), code };
}

/** The bundles of all layer files that a model uses, one per file. */
export async function bundleLayers(layers: readonly LayerEntry[]): Promise<BundledLayer[]> {
  const files = new Set(layers.flatMap(({ file }) => (file === null ? [] : [file])));
  return Promise.all([...files].map(bundleLayer));
}

/** Calls `body` with the bundles in files that are gone afterwards, by the paths of their layer files. */
export async function withBundleFiles<T>(
  bundles: readonly BundledLayer[],
  body: (layerModules: Readonly<Record<string, string>>) => Promise<T>,
): Promise<T> {
  if (bundles.length === 0) return body({});
  const folder = new TemporaryFolder('longscan-layers-');
  try {
    return await body(
      Object.fromEntries(bundles.map((bundle) => [bundle.file, writeBundle(folder.path, bundle)])),
    );
  } finally {
    folder.remove();
  }
}

/** Writes a bundle to `code/<sha256>.mjs` of a run folder and returns its absolute path. */
export function writeBundle(runDir: string, { sha256, code }: BundledLayer): string {
  const name = join(runFiles.code, `${sha256}.mjs`);
  writeRunFile(runDir, name, code);
  return join(runDir, name);
}

function unbundled(file: string, failure: BuildFailure): LongscanError {
  const first = failure.errors?.[0];
  const place = first?.location;
  return new LongscanError({
    code: 'E-PLUGIN',
    where: place ? `${join(dirname(file), place.file)}:${place.line}:${place.column + 1}` : file,
    found: first?.text ?? failure.message,
    expected: 'a layer file that can be bundled',
    fix: fixOf(first?.text ?? ''),
    exitCode: 2,
    cause: failure,
  });
}

/** By what esbuild says. */
function fixOf(text: string): string {
  if (text.startsWith('Could not resolve'))
    return 'correct the import, or install that package where the file finds it';
  return text.startsWith('No loader') ? 'name a .ts or .js file that holds a layer' : 'correct that line';
}
