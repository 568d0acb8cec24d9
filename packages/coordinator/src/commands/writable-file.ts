import { statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { LongscanError } from '@longscan/worker/protocol';

/** Before minutes of measuring, not after. @throws LongscanError E-CLI-USAGE unless `path` can be a JSON file */
export function requireWritable(option: string, path: string): void {
  if (!path.endsWith('.json')) throw usage(option, JSON.stringify(path), 'a file that ends in .json');
  const isFolder = (folder: string) => statSync(folder, { throwIfNoEntry: false })?.isDirectory() ?? false;
  if (isFolder(path)) throw usage(option, `${path}, a folder`, 'a file');
  if (!isFolder(dirname(resolve(path))))
    throw usage(option, `${path} in no folder`, 'a folder that is there');
}

function usage(where: string, found: string, expected: string): LongscanError {
  return new LongscanError({ code: 'E-CLI-USAGE', where, found, expected, exitCode: 2 });
}
