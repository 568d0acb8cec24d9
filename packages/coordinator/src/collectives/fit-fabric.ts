import type { FabricCost } from '@longscan/worker';
import { burstLength } from '@longscan/worker/protocol';
import { type FittedChains, fitChains, type TimedChain } from '../fabric/fit-chains.js';
import { type FittedLink, fitLink } from '../fabric/fit-link.js';
import type { CollectiveRow } from './rows.js';

/** The links of a group, as far as messages between two of its ranks and chains over all of them tell. */
export interface FittedFabric {
  readonly inside: FittedLink;
  /** Null where all links are alike. */
  readonly between: FittedLink | null;
  /** Null where the group has no chains of its own, or where their times tell no link. */
  readonly chains: FittedChains | null;
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
  return { inside, between, chains: fitChains(rows.flatMap(timedChain)), ranksPerNode };
}

/** A measured chain; none of another row. */
export function timedChain(row: CollectiveRow): TimedChain[] {
  const { op, bytes, stateRows, transition, numRanks, medianS: seconds } = row;
  if (op !== 'chain' && op !== 'chain-run') return [];
  const runLength = op === 'chain' ? 1 : burstLength;
  const isDense = transition === 'dense';
  return [{ bytes, rows: stateRows!, isDense, numRanks, runLength, seconds }];
}

/** The same without its residuals, as costs are modelled with. */
export function costOf({ inside, between, chains, ranksPerNode }: FittedFabric): FabricCost {
  return {
    ...inside.link,
    ...(between === null ? {} : { nodes: { ranksPerNode, between: between.link } }),
    ...(chains === null ? {} : { chains: chains.link }),
  };
}
