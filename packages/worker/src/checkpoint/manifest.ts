import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { corrupt, partial, unreadable } from './errors.js';
import { manifestFile } from './files.js';
import type { Manifest } from './parse-manifest.js';

/** The manifest and its bytes, which COMMITTED vouches for. Errors: E-CKPT-PARTIAL, -CORRUPT, -VERSION; E-DISK. */
export async function readManifest(dir: string): Promise<{ manifest: Manifest; bytes: Buffer }> {
  const file = path.join(dir, manifestFile);
  const bytes = await readFile(file).catch((cause: NodeJS.ErrnoException) => {
    throw cause.code === 'ENOENT' ? partial(dir, `there is no ${manifestFile}`) : unreadable(file, cause);
  });
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString());
  } catch (cause) {
    throw corrupt(file, `not JSON (${(cause as Error).message})`);
  }
  // With its schemas, which a rank that begins from nothing need not load.
  const { parseManifest } = await import('./parse-manifest.js');
  return { manifest: parseManifest(value, file), bytes };
}
