import type { Communicator, Tensor } from '@longscan/kernels';
import type { Training } from './train-step.js';

/** `tensor` = its sum over ranks; null: there is one. */
export function sumOverRanks(world: Communicator | null, tensor: Tensor): void {
  if (world !== null) after(world, tensor, () => world.allReduce(tensor));
}

/**
 * Sums gradients, loss and wishes over all ranks. Where the optimizer is sharded, each rank gets the sum of its own shard
 * of the gradients only; the rest of them is left as it was.
 */
export function reduceGradients({ mesh: { world }, parameters, optimizer }: Training): void {
  if (world === null) return;
  const { gradients } = parameters;
  if (optimizer.shard.count === 1) {
    sumOverRanks(world, gradients);
    return;
  }
  after(world, gradients, () => {
    world.reduceScatter(parameters.gradientsOnly(), optimizer.shardOf(gradients));
    world.allReduce(parameters.extra());
  });
}

/** Squared norm of the whole gradient, [1] in f64. */
export function squaredNorm({ mesh: { world }, optimizer }: Training): Tensor {
  const sum = optimizer.sumOfSquares();
  if (optimizer.shard.count > 1) sumOverRanks(world, sum);
  return sum;
}

/** After the ranks have updated their shards of the parameters: everybody gets all of them. */
export function gatherParameters({ mesh: { world }, parameters: { values }, optimizer }: Training): void {
  if (world === null || optimizer.shard.count === 1) return;
  after(world, values, () => world.allGather(optimizer.shardOf(values), values));
}

/** Runs `collective` after the work that makes `tensor`, and what comes next after it. */
function after(world: Communicator, { device }: Tensor, collective: () => void): void {
  world.stream.wait(device.compute.record());
  collective();
  device.compute.wait(world.stream.record());
}
