import { type Communicator, connectTcp, type Device, openListener } from '@longscan/kernels';
import { progressWord } from './control/progress.js';
import { planOf, type RankContext } from './rank-context.js';

/** This rank's groups; null where it would be alone. */
export interface RankMesh {
  /** The ranks that hold slices of the same sequences, in sequence order. */
  readonly sp: Communicator | null;
  /** All ranks: gradients and what is summed with them. */
  readonly world: Communicator | null;
  close(): void;
}

/** Address of the data plane in the rank table. */
const purpose = 'data';

/**
 * Tells the others where this rank listens and connects its groups: one communicator per mesh axis and one for
 * gradients, each with its own stream and connections, so that none waits behind another.
 * @throws LongscanError E-COMM-CONNECT, E-AUTH
 */
export async function connectMesh(context: RankContext, device: Device): Promise<RankMesh> {
  const { assignment, env, control, progress } = context;
  const { sp } = planOf(context).mesh;
  // The local launcher puts every rank on this host.
  const host = '127.0.0.1';
  const listener = openListener(host);
  const table = await control.exchangeAddresses({ [purpose]: `${host}:${listener.port}` });
  const byRank = new Map(
    table.ranks.map(({ rank, addresses }) => [rank, parseAddress(addresses[purpose] ?? '')]),
  );

  const connect = async (axis: string, ranks: readonly number[]): Promise<Communicator | null> => {
    if (ranks.length === 1) return null;
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
    });
    communicator.attachProgress(progress, progressWord.collective);
    return communicator;
  };

  const firstOfSequence = env.rank - (env.rank % sp);
  const spRanks = Array.from({ length: sp }, (_, i) => firstOfSequence + i);
  const world = await connect(
    'world',
    Array.from({ length: env.worldSize }, (_, rank) => rank),
  );
  const sequence = await connect(`sp-${firstOfSequence / sp}`, spRanks);
  listener.close();
  const open = [world, sequence].filter((communicator) => communicator !== null);
  control.onAbort((reason) => {
    for (const communicator of open) communicator.abort(reason);
  });
  return {
    sp: sequence,
    world,
    close() {
      for (const communicator of open) communicator.close();
    },
  };
}

function parseAddress(text: string): { host: string; port: number } {
  const colon = text.lastIndexOf(':');
  return { host: text.slice(0, colon), port: Number(text.slice(colon + 1)) };
}
