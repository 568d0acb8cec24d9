import { existsSync, readdirSync } from 'node:fs';

/** Seams of the worker that are looked up by name. */
export type UnitFolder = 'layers' | 'sp';

/** A name that may be looked for in a folder; anything else could be a path out of it. */
const unitName = /^([a-z0-9-]+)\.js$/;

/** Compiled folder of the worker package. */
const workerRoot = new URL('.', import.meta.resolve('@longscan/worker'));

/** What of a layer's definition is read without creating it. */
export interface LayerUnit {
  readonly name: string;
  /** URL of the paper. */
  readonly paper: string;
  /** Class of what a run of tokens does to the state. */
  readonly transition: string;
  /** Options with their defaults. */
  readonly config: Readonly<Record<string, number | string | boolean>>;
  /** The values that an option may have, where they are few. */
  readonly choices?: Readonly<Record<string, readonly (number | string | boolean)[]>>;
}

/** Names of the units in a seam's folder, sorted; the listing is the register, there is no other. */
export function listUnits(folder: UnitFolder): readonly string[] {
  const path = new URL(`${folder}/`, workerRoot);
  if (!existsSync(path)) return [];
  const names = readdirSync(path).map((entry) => unitName.exec(entry)?.[1]);
  return names.filter((name) => name !== undefined).sort();
}

/** Definition of a layer that `listUnits` named. */
export async function importLayer(name: string): Promise<LayerUnit> {
  return (await importUnit('layers', name)) as LayerUnit;
}

/** Default export of a unit that `listUnits` named; importing it opens no native file. */
export async function importUnit(folder: UnitFolder, name: string): Promise<unknown> {
  const unit = (await import(new URL(`${folder}/${name}.js`, workerRoot).href)) as { default: unknown };
  return unit.default;
}
