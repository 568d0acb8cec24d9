import { readdirSync } from 'node:fs';

/** A unit of a seam: one compiled file of its folder. */
export interface UnitFile {
  readonly name: string;
  readonly url: URL;
}

const unitName = /^([a-z0-9-]+)\.js$/;

/** The units of a compiled seam folder (its URL ends in `/`), sorted; the listing is the register. */
function listUnitFiles(folder: URL): UnitFile[] {
  return readdirSync(folder)
    .flatMap((entry) => unitName.exec(entry)?.[1] ?? [])
    .sort()
    .map((name) => ({ name, url: new URL(`${name}.js`, folder) }));
}

/** The default export of every unit of a folder, by name. */
export async function importUnits<T>(folder: URL): Promise<ReadonlyMap<string, T>> {
  const units = listUnitFiles(folder).map(async ({ name, url }): Promise<[string, T]> => {
    const unit = (await import(url.href)) as { default: T };
    return [name, unit.default];
  });
  return new Map(await Promise.all(units));
}
