import { existsSync, readdirSync } from 'node:fs';
import type { Layer } from '@longscan/worker';

/** Seams of the worker that are looked up by name. */
export type UnitFolder = 'layers' | 'sp' | 'attention-strategies';

/** A name that may be looked for in a folder; anything else could be a path out of it. */
const unitName = /^([a-z0-9-]+)\.js$/;

/** Compiled folder of the worker package. */
const workerRoot = new URL('.', import.meta.resolve('@longscan/worker'));

/** Names of the units in a seam's folder, sorted. */
export function listUnits(folder: UnitFolder): readonly string[] {
  return unitsIn(new URL(`${folder}/`, workerRoot));
}

/** Names of the units in a folder, sorted; the listing is the register, there is no other. */
export function unitsIn(folder: URL): readonly string[] {
  if (!existsSync(folder)) return [];
  const names = readdirSync(folder).map((entry) => unitName.exec(entry)?.[1]);
  return names.filter((name) => name !== undefined).sort();
}

/** Definition of a layer that `listUnits` named. */
export async function importLayer(name: string): Promise<Layer> {
  return (await importUnit('layers', name)) as Layer;
}

/** Default export of a unit that `listUnits` named; importing it opens no native file. */
export async function importUnit(folder: UnitFolder, name: string): Promise<unknown> {
  const unit = (await import(new URL(`${folder}/${name}.js`, workerRoot).href)) as { default: unknown };
  return unit.default;
}
