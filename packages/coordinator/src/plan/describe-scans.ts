import type { ScanChoice } from '@longscan/worker/protocol';

/** `all-scan, 4 blocks`, `two-level, 8 ranks a node`, `ring`. */
export function describeScan({ strategy, blocks, ranksPerNode }: ScanChoice): string {
  if (blocks > 1) return `${strategy}, ${blocks} blocks`;
  return strategy === 'two-level' ? `${strategy}, ${ranksPerNode} ranks a node` : strategy;
}

/** `layer 3`, `layers 0-23`, `layers 0, 2, 4-6`, counted from the embedding. */
export function describeLayerRange(layers: readonly number[]): string {
  const runs: [number, number][] = [];
  for (const layer of layers) {
    const last = runs.at(-1);
    if (last !== undefined && layer === last[1] + 1) last[1] = layer;
    else runs.push([layer, layer]);
  }
  const text = runs.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(', ');
  return `${layers.length === 1 ? 'layer' : 'layers'} ${text}`;
}
