import type { Communicator, Device } from '@longscan/kernels';
import { progressWord } from './control/progress.js';
import type { MeshGroup } from './mesh-group.js';
import { ncclGroups } from './mesh-nccl.js';
import { tcpGroups } from './mesh-tcp.js';
import { planOf, type RankContext } from './rank-context.js';

/** This rank's groups; null where it would be alone. */
export interface RankMesh {
  /** The ranks that hold slices of the same sequences, in sequence order. */
  readonly sp: Communicator | null;
  /** All ranks: gradients and what is summed with them. */
  readonly world: Communicator | null;
  close(): void;
}

/**
 * Tells the other ranks of the job what they need to know of this one and connects its groups: one communicator per mesh
 * axis and one for gradients, each with its own stream and connections, so that none waits behind another. Ranks on GPUs
 * are connected by NCCL and by nothing else.
 * @throws LongscanError E-COMM-CONNECT, E-AUTH, E-NCCL
 */
export async function connectMesh(context: RankContext, device: Device): Promise<RankMesh> {
  const { env, control, progress } = context;
  const { sp } = planOf(context).mesh;
  const firstOfSequence = env.rank - (env.rank % sp);
  const world = group('world', 0, env.worldSize, false);
  const sequence = group(`sp-${firstOfSequence / sp}`, firstOfSequence, sp, true);
  const groups = [world, sequence].filter(({ ranks }) => ranks.length > 1);
  const aborting = new AbortController();
  control.onAbort((reason) => aborting.abort(reason));
  const connect = await (device.kind === 'cuda' ? ncclGroups : tcpGroups)(context, device, groups);
  const open = new Map<MeshGroup, Communicator>();
  // One after the other, in the same order on all ranks.
  for (const each of groups) {
    const communicator = await connect(each, aborting.signal);
    communicator.attachProgress(progress, progressWord.collective);
    open.set(each, communicator);
  }
  return {
    sp: open.get(sequence) ?? null,
    world: open.get(world) ?? null,
    close() {
      for (const communicator of open.values()) communicator.close();
    },
  };
}

function group(axis: string, first: number, size: number, hasChains: boolean): MeshGroup {
  return { axis, ranks: Array.from({ length: size }, (_, i) => first + i), hasChains };
}
