import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

/** The YAML library, loaded when a document first needs it: 70 files that no command with a TOML job has a use for. */
export function loadYaml(): typeof import('yaml') {
  return require('yaml');
}
