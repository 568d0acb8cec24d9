import { connectTcp, type Device, openListener } from '@longscan/kernels';
import type { ConnectGroup, MeshGroup } from './mesh-group.js';
import type { RankContext } from './rank-context.js';

/** Address of the data plane in the rank table. */
const purpose = 'data';

/** Tells the others where this rank listens; gives what connects one group after the other. */
export async function tcpGroups(
  { assignment, env, control }: RankContext,
  device: Device,
  groups: readonly MeshGroup[],
): Promise<ConnectGroup> {
  // The local launcher puts every rank on this host.
  const host = '127.0.0.1';
  const listener = openListener(host);
  const table = await control.exchangeAddresses({ [purpose]: `${host}:${listener.port}` });
  const byRank = new Map(
    table.ranks.map(({ rank, addresses }) => [rank, parseAddress(addresses[purpose] ?? '')]),
  );
  let numLeft = groups.length;
  if (numLeft === 0) listener.close();
  return async ({ axis, ranks }, signal) => {
    const communicator = await connectTcp({
      device,
      listener,
      jobId: assignment.jobId,
      axis,
      token: assignment.jobToken,
      epoch: assignment.epoch,
      rank: ranks.indexOf(env.rank),
      addresses: ranks.map((rank) => byRank.get(rank)!),
      timeoutMs: assignment.timeouts.collectiveTimeoutMs,
      signal,
    });
    if (--numLeft === 0) listener.close();
    return communicator;
  };
}

function parseAddress(text: string): { host: string; port: number } {
  const colon = text.lastIndexOf(':');
  return { host: text.slice(0, colon), port: Number(text.slice(colon + 1)) };
}
