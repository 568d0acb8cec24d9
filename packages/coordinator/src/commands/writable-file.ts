import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { LongscanError } from '@longscan/worker/protocol';
import { onDisk } from '../run-folder/on-disk.js';
import { usage } from '../usage.js';

/**
 * Before minutes of measuring, not after.
 * @throws LongscanError E-CLI-USAGE unless `path` can be a JSON file; E-DISK where it may not be written
 */
export function requireWritable(option: '--save', path: string): void {
  if (!path.endsWith('.json')) throw wrongPlace(option, JSON.stringify(path), 'a file that ends in .json');
  const isFolder = (folder: string) => existsSync(folder) && statSync(folder).isDirectory();
  if (isFolder(path)) throw wrongPlace(option, `${path}, a folder`, 'a file');
  const folder = dirname(resolve(path));
  if (!isFolder(folder)) throw wrongPlace(option, `${path} in no folder`, 'a folder that is there');
  const place = existsSync(path) ? path : folder;
  onDisk(place, () => accessSync(place, constants.W_OK), option);
}

function wrongPlace(where: string, found: string, expected: string): LongscanError {
  return usage(where, found, expected, `give ${where} the path of a .json file in a folder that is there`);
}
