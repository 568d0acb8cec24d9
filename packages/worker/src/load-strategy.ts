import type { Strategy } from './strategy.js';

/** The strategy of `sp/<name>`; the name is one of that folder's listing, checked when the job was read. */
export async function loadStrategy(name: string): Promise<Strategy> {
  const module = (await import(new URL(`./sp/${name}.js`, import.meta.url).href)) as { default: Strategy };
  return module.default;
}
