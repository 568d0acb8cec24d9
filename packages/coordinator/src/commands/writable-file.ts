import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { LongscanError } from '@longscan/worker/protocol';
import { onDisk } from '../run-folder/on-disk.js';

/**
 * Before minutes of measuring, not after.
 * @throws LongscanError E-CLI-USAGE unless `path` can be a JSON file; E-DISK where it may not be written
 */
export function requireWritable(option: '--save', path: string): void {
  if (!path.endsWith('.json')) throw usage(option, JSON.stringify(path), 'a file that ends in .json');
  const isFolder = (folder: string) => existsSync(folder) && statSync(folder).isDirectory();
  if (isFolder(path)) throw usage(option, `${path}, a folder`, 'a file');
  const folder = dirname(resolve(path));
  if (!isFolder(folder)) throw usage(option, `${path} in no folder`, 'a folder that is there');
  const place = existsSync(path) ? path : folder;
  onDisk(place, () => accessSync(place, constants.W_OK), option);
}

function usage(where: string, found: string, expected: string): LongscanError {
  return new LongscanError({
    code: 'E-CLI-USAGE',
    where,
    found,
    expected,
    exitCode: 2,
    fix: `give ${where} the path of a .json file in a folder that is there`,
  });
}
