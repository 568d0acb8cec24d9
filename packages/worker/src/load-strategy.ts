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

async function load<T>(path: string): Promise<T> {
  const module = (await import(new URL(path, import.meta.url).href)) as { default: T };
  return module.default;
}
