import { readdirSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { AttentionStrategy } from './attention-strategy.js';
import type { Strategy } from './strategy.js';

/** The strategy of `sp/<name>`; the name is one of that folder's listing, checked when the job was read. */
export function loadStrategy(name: string): Promise<Strategy> {
  return load<Strategy>(`./sp/${name}.js`);
}

/** The same for softmax layers, from `attention-strategies/<name>`. */
export function loadAttentionStrategy(name: string): Promise<AttentionStrategy> {
  return load<AttentionStrategy>(`./attention-strategies/${name}.js`);
}

/** Every strategy of the sp folder, by name: the listing is the register. */
export async function installedStrategies(): Promise<Strategy[]> {
  const names = readdirSync(fileURLToPath(new URL('./sp/', import.meta.url)))
    .filter((file) => /^[a-z0-9-]+\.js$/.test(file))
    .map((file) => basename(file, '.js'))
    .sort();
  return Promise.all(names.map(loadStrategy));
}

async function load<T>(path: string): Promise<T> {
  const module = (await import(new URL(path, import.meta.url).href)) as { default: T };
  return module.default;
}
