import { type Communicator, empty, type Tensor } from '@longscan/kernels';
import type { Optimizer } from '../optim/optimizer.js';

/** Moments of one shard, flat. */
type ShardMoments = Optimizer['moments'];

/**
 * For a checkpoint, which rank 0 writes: the moments of all shards in their order, which it has to release; null on the
 * other ranks. Every rank calls this at the same place between two steps, when the memory of activations is free.
 */
export function gatherMoments(world: Communicator | null, optimizer: Optimizer): ShardMoments[] | null {
  const { moments, shard } = optimizer;
  if (world !== null && world.rank > 0) {
    if (shard.count > 1) sendMoments(world, moments);
    return null;
  }
  const own = { m: moments.m.retain(), v: moments.v.retain() };
  return world === null || shard.count === 1 ? [own] : [own, ...receiveMoments(world, moments)];
}

function sendMoments(world: Communicator, { m, v }: ShardMoments): void {
  world.stream.wait(m.device.compute.record());
  world.send(m, 0);
  world.send(v, 0);
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
