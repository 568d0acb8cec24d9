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

/** After the ranks have updated their shards of the parameters: everybody gets all that ops see of them. */
export function gatherParameters(training: Training): void {
  const { mesh, parameters, optimizer } = training;
  const { world } = mesh;
  const { values, halves } = parameters;
  if (world === null || optimizer.shard.count === 1) return;
  after(world, values, () => {
    if (halves === null) {
      world.allGather(optimizer.shardOf(values), values);
      return;
    }
    world.allGather(optimizer.shardOf(halves.high), halves.high);
    for (const { begin, end, owner } of unroundedParts(training)) {
      world.broadcast(values.view([end - begin], begin), owner);
    }
  });
}

/**
 * Before a checkpoint: where ranks have exchanged rounded values only, everybody gets the lower halves of the other shards.
 * Every rank calls this at the same place between two steps.
 */
export function gatherValues({ mesh: { world }, parameters, optimizer }: Training): void {
  const { halves } = parameters;
  if (world === null || optimizer.shard.count === 1 || halves === null) return;
  const { low } = halves;
  after(world, low, () => world.allGather(optimizer.shardOf(low), low));
}

/** Elements that ops see as they are, by the rank that updates them: the few before the rounded ones. */
function unroundedParts({ parameters: { numUnrounded, size: total }, optimizer: { shard } }: Training) {
  const size = total / shard.count;
  return Array.from({ length: Math.ceil(numUnrounded / size) }, (_, owner) => ({
    owner,
    begin: owner * size,
    end: Math.min((owner + 1) * size, numUnrounded),
  }));
}

/** Runs `collective` after the work that makes `tensor`, and what comes next after it. */
function after(world: Communicator, { device }: Tensor, collective: () => void): void {
  world.stream.wait(device.compute.record());
  collective();
  device.compute.wait(world.stream.record());
}
