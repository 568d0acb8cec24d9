import { readSettingsFile } from '../spec/read-settings-file.js';
import { type FabricFile, fabricFileSchema } from './fabric-file.js';

/**
 * Reads a fabric file: JSON as `bench collectives --save` writes it, or TOML or YAML with the same keys.
 * @throws LongscanError E-FABRIC and what else `readSettingsFile` throws
 */
export function readFabricFile(file: string): FabricFile {
  return readSettingsFile(file, { schema: fabricFileSchema, kind: 'a fabric file', code: 'E-FABRIC' });
}
