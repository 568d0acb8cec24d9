import { type Communicator, empty, type Tensor } from '@longscan/kernels';
import type { Optimizer } from '../optim/optimizer.js';

/** Moments of one shard, flat. */
type ShardMoments = Optimizer['moments'];

/**
 * For a checkpoint, which rank 0 writes: the moments of all shards in their order, which it has to release; null on the
 * other ranks, once rank 0 has theirs. Every rank calls this at the same place between two steps, when the memory of
 * activations is free.
 */
export async function gatherMoments(
  world: Communicator | null,
  optimizer: Optimizer,
): Promise<ShardMoments[] | null> {
  const { moments, shard } = optimizer;
  if (world !== null && world.rank > 0) {
    if (shard.count > 1) await sendMoments(world, moments);
    return null;
  }
  const own = { m: moments.m.retain(), v: moments.v.retain() };
  return world === null || shard.count === 1 ? [own] : [own, ...receiveMoments(world, moments)];
}

/**
 * Returns once they are sent. The first message between two ranks may wait until the GPU is idle (comm/README.md). Were a chain
 * of the next pass on it by then, that would wait for rank 0, and rank 0 for these moments.
 */
async function sendMoments(world: Communicator, { m, v }: ShardMoments): Promise<void> {
  world.stream.wait(m.device.compute.record());
  world.send(m, 0);
  world.send(v, 0);
  await world.stream.sync();
}

function receiveMoments(world: Communicator, { m: { device, shape, dtype } }: ShardMoments): ShardMoments[] {
  const receive = (peer: number): Tensor => {
    const tensor = empty(device, shape, dtype, world.stream);
    world.recv(tensor, peer);
    return tensor;
  };
  const received = Array.from({ length: world.size - 1 }, (_, i) => ({
    m: receive(i + 1),
    v: receive(i + 1),
  }));
  device.compute.wait(world.stream.record());
  return received;
}
