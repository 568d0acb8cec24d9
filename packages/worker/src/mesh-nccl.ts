import {
  connectNccl,
  createNcclGroupId,
  type Device,
  describeCarrier,
  type ErrorParts,
  LongscanError,
  openNccl,
  peerMemoryFromEnv,
} from '@longscan/kernels';
import type { ConnectGroup, MeshGroup } from './mesh-group.js';
import type { Addresses, RankTable } from './protocol/messages.js';
import type { RankContext } from './rank-context.js';

// In the rank table: the version of this rank's NCCL, or why it has none and what to do; the id of each group that it is the
// first of.
const version = 'nccl';
const failure = 'nccl-failure';
const remedy = 'nccl-remedy';
const idOf = (axis: string) => `nccl-id:${axis}`;

/** As long as an entry may be. */
const longestText = 4096;

/**
 * Tells the others which NCCL this rank has, and the ids of the groups that it is the first of; gives what connects one group
 * after the other.
 * @throws LongscanError E-NCCL, the same on every rank, if one of them has none or not all have the same; E-PEER-MEMORY if
 *   LONGSCAN_PEER_MEMORY is no word of ours
 */
export async function ncclGroups(
  { assignment, env, control, log }: RankContext,
  device: Device,
  groups: readonly MeshGroup[],
): Promise<ConnectGroup> {
  const peerMemory = peerMemoryFromEnv();
  const own = env.worldSize === 1 ? {} : describeNccl(groups, env.rank, log);
  const table = await control.exchangeAddresses(own);
  if (env.worldSize > 1) requireOneNccl(table);
  const byRank = new Map(table.ranks.map(({ rank, addresses }) => [rank, addresses]));
  return async ({ axis, ranks, hasChains }, signal) => {
    const { comm, chains } = await connectNccl({
      device,
      axis,
      id: byRank.get(ranks[0]!)?.[idOf(axis)] ?? '',
      rank: ranks.indexOf(env.rank),
      size: ranks.length,
      timeoutMs: assignment.timeouts.collectiveTimeoutMs,
      ...(hasChains && { peerMemory }),
      signal,
    });
    if (hasChains) log(`${axis}: chains ${describeCarrier(chains)}`);
    return comm;
  };
}

/** What goes into the rank table; a rank without NCCL says so, since the others would wait for it. */
function describeNccl(groups: readonly MeshGroup[], rank: number, log: (line: string) => void): Addresses {
  try {
    const nccl = openNccl();
    log(`NCCL ${nccl.version}, ${nccl.path}`);
    const ids = groups
      .filter(({ ranks }) => ranks[0] === rank)
      .map(({ axis }) => [idOf(axis), createNcclGroupId()]);
    return { [version]: nccl.version, ...Object.fromEntries(ids) };
  } catch (error) {
    if (!(error instanceof LongscanError) || error.code !== 'E-NCCL') throw error;
    const { found, fix } = error.parts;
    return {
      [failure]: found.slice(0, longestText),
      ...(fix !== undefined && { [remedy]: fix.slice(0, longestText) }),
    };
  }
}

function requireOneNccl({ ranks }: RankTable): void {
  for (const { rank, addresses } of ranks) {
    const found = addresses[failure];
    const fix = addresses[remedy];
    if (found !== undefined)
      throw refusal({ where: `rank ${rank}`, found, ...(fix !== undefined && { fix }) });
  }
  const ranksByVersion = new Map<string, number[]>();
  for (const { rank, addresses } of ranks) {
    const found = addresses[version] ?? 'none';
    ranksByVersion.set(found, [...(ranksByVersion.get(found) ?? []), rank]);
  }
  if (ranksByVersion.size === 1) return;
  const found = [...ranksByVersion].map(([name, having]) => `NCCL ${name} on rank ${having.join(', ')}`);
  throw refusal({
    where: 'the ranks of this job',
    found: found.join('; '),
    expected: 'the same on all',
    fix: 'install the same NCCL on every host, or name it in LONGSCAN_NCCL',
  });
}

function refusal(parts: Omit<ErrorParts, 'code' | 'exitCode'>): LongscanError {
  return new LongscanError({ ...parts, code: 'E-NCCL', exitCode: 3 });
}
