import { randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { removeAtExit } from './temporary-files.js';

/**
 * Imports the bundle of a layer file outside the packages. Its imports of `@longscan/*` are pointed at this process's
 * own modules first: the bundle lies where no node_modules is, and a second copy of a package would have types and
 * tapes of its own. Stack traces name lines of the `.ts` file, by the bundle's source map.
 */
export async function importBundle(file: string): Promise<{ readonly default?: unknown }> {
  process.setSourceMapsEnabled(true);
  const code = readFileSync(file, 'utf8').replaceAll(
    /^(import\s[^'";]*|import\s*|export\s[^'";]*\sfrom\s*)(["'])(@longscan\/[a-z/-]+)\2/gm,
    (_whole, start: string, _quote, name: string) => `${start}${JSON.stringify(resolvePackage(name))}`,
  );
  // A file and not a data: URL: source maps are only followed for files. Gone as soon as it is loaded.
  const local = join(tmpdir(), `longscan-layer-${randomUUID()}.mjs`);
  const remove = removeAtExit(local);
  try {
    writeFileSync(local, code, { mode: 0o600, flag: 'wx' });
    return (await import(pathToFileURL(local).href)) as { readonly default?: unknown };
  } finally {
    remove();
  }
}

/** URL of a module of ours as this package sees it. */
function resolvePackage(name: string): string {
  const [, packageName, ...subpath] = name.split('/');
  // The worker's own entry lies beside this file; resolving it by name would need the package to depend on itself.
  if (packageName === 'worker' && subpath.length === 0) return new URL('./index.js', import.meta.url).href;
  return pathToFileURL(createRequire(fileURLToPath(import.meta.url)).resolve(name)).href;
}
