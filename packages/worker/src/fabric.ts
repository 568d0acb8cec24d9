import type { FabricCost, LinkCost } from './strategy.js';

/** Up to this size a collective exchanges directly between all pairs, beyond it around a ring: that of the addon's collectives. */
export const directBytes = 32 << 10;

/** The links of a chain over all ranks, and how many there are of each; what is between nodes first. */
export function chainLinks(worldSize: number, fabric: FabricCost): { link: LinkCost; count: number }[] {
  const { nodes } = fabric;
  const numBetween = nodes === undefined ? 0 : Math.ceil(worldSize / nodes.ranksPerNode) - 1;
  const inside = { link: fabric, count: worldSize - 1 - numBetween };
  return nodes === undefined ? [inside] : [{ link: nodes.between, count: numBetween }, inside];
}

/** What every link of a group is at least as good as: what messages across the whole group have to reckon with. */
export function slowestLink(worldSize: number, fabric: FabricCost): LinkCost {
  const links = chainLinks(worldSize, fabric).flatMap(({ link, count }) => (count > 0 ? [link] : []));
  return {
    latencyS: Math.max(0, ...links.map(({ latencyS }) => latencyS)),
    gapS: Math.max(0, ...links.map(({ gapS }) => gapS)),
    bandwidthBytesPerS: Math.min(...links.map(({ bandwidthBytesPerS }) => bandwidthBytesPerS)),
  };
}

/** Every rank sends a message to every other one at once: they follow each other out of its port. */
export function toAllSeconds(
  numRanks: number,
  bytes: number,
  { latencyS, gapS, bandwidthBytesPerS }: LinkCost,
): number {
  if (numRanks === 1) return 0;
  const transferS = bytes / bandwidthBytesPerS;
  return latencyS + transferS + (numRanks - 2) * Math.max(gapS, transferS);
}
