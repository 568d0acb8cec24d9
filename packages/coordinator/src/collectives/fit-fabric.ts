import type { FabricCost } from '@longscan/worker';
import { burstLength } from '@longscan/worker/protocol';
import { type FittedLink, fitLink } from '../fabric/fit-link.js';
import type { CollectiveRow } from './rows.js';

/** The links of a group, as far as messages between two of its ranks tell. */
export interface FittedFabric {
  readonly inside: FittedLink;
  /** Null where all links are alike. */
  readonly between: FittedLink | null;
  readonly ranksPerNode: number;
}

/** Null where times and sizes tell no link. */
export function fitFabric(rows: readonly CollectiveRow[], ranksPerNode: number): FittedFabric | null {
  const linkOf = (kind: CollectiveRow['link']) => {
    const of = (op: CollectiveRow['op']) =>
      rows
        .filter((row) => row.op === op && row.link === kind)
        .map(({ bytes, medianS }) => ({ bytes, seconds: medianS }));
    return fitLink(of('send-recv'), of('burst'), burstLength);
  };
  const inside = linkOf('inside');
  const hasNodes = rows.some(({ link }) => link === 'between');
  const between = hasNodes ? linkOf('between') : null;
  if (inside === null || (hasNodes && between === null)) return null;
  return { inside, between, ranksPerNode };
}

/** The same without its residuals, as costs are modelled with. */
export function costOf({ inside, between, ranksPerNode }: FittedFabric): FabricCost {
  return {
    ...inside.link,
    ...(between === null ? {} : { nodes: { ranksPerNode, between: between.link } }),
  };
}
