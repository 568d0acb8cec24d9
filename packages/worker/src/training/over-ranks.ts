import type { Communicator, Event, Tensor } from '@longscan/kernels';
import type { FlatRange, GradientBucket } from '../model/gradient-buckets.js';
import { partOfBucket } from '../optim/shard.js';
import type { Training } from './training.js';

/** `tensor` = its sum over ranks; null: there is one. */
export function sumOverRanks(world: Communicator | null, tensor: Tensor): void {
  if (world !== null) after(world, tensor, () => world.allReduce(tensor));
}

/**
 * Enqueues the sum of a bucket's gradients over all ranks, after `final`, on the communicator's stream. Where the optimizer is
 * sharded, each rank gets the sum of its own part of the bucket only; the rest of it is left as it was.
 */
export function sumBucket(
  { mesh: { world }, parameters, optimizer }: Training,
  bucket: GradientBucket,
  final: Event,
): void {
  const { stream } = world!;
  const { gradients } = parameters;
  stream.wait(final);
  if (optimizer.shard.count === 1) world!.allReduce(cut(gradients, bucket));
  else world!.reduceScatter(cut(gradients, bucket), cut(gradients, partOfBucket(bucket, optimizer.shard)));
}

/**
 * Ends the sums of gradients, all but the last of whose buckets are under way, and those of loss and wishes; what is enqueued
 * next has all of them.
 */
export function finishSums(training: Training): void {
  const { mesh, parameters, optimizer, device } = training;
  const { world } = mesh;
  if (world === null) return;
  const { buckets, gradients } = parameters;
  if (buckets.length === 1 && optimizer.shard.count === 1) {
    sumOverRanks(world, gradients);
    return;
  }
  after(world, gradients, () => {
    sumBucket(training, buckets.at(-1)!, device.compute.record());
    world.allReduce(parameters.extra());
  });
}

/** Updates parameters; see `Optimizer.update`. */
export function updateParameters(
  { mesh: { world }, optimizer }: Training,
  step: number,
  learningRate: number,
): Tensor {
  const isSharded = optimizer.shard.count > 1;
  return optimizer.update(step, learningRate, (sums) => isSharded && sumOverRanks(world, sums));
}

/**
 * After the ranks have updated their shards of the parameters: everybody gets all that ops see of them, beside what comes next,
 * in the order in which a forward pass reads it. That waits for each part where it begins with its block.
 */
export function gatherParameters(training: Training): void {
  const { mesh, parameters, optimizer, device } = training;
  const { world } = mesh;
  const { values, halves, buckets } = parameters;
  if (world === null || optimizer.shard.count === 1) return;
  world.stream.wait(device.compute.record());
  if (halves !== null) {
    for (const { owner, ...range } of unroundedParts(training)) {
      world.broadcast(cut(values, range), owner);
      parameters.noteUpdates(range, world.stream.record());
    }
  }
  for (const bucket of [...buckets].reverse()) {
    gatherParts(training, world, halves?.high ?? values, bucket);
    parameters.noteUpdates(bucket, world.stream.record());
  }
}

/**
 * Before a checkpoint: where ranks have exchanged rounded values only, everybody gets the lower halves of the other shards.
 * Every rank calls this at the same place between two steps.
 */
export function gatherValues(training: Training): void {
  const { mesh, parameters, optimizer } = training;
  const { world } = mesh;
  if (world === null || optimizer.shard.count === 1 || parameters.halves === null) return;
  const { low } = parameters.halves;
  training.device.scope(() =>
    after(world, low, () => {
      for (const bucket of parameters.buckets) gatherParts(training, world, low, bucket);
    }),
  );
}

/** Of a bucket of a flat buffer, everybody gets the parts of the others. */
function gatherParts({ optimizer }: Training, world: Communicator, flat: Tensor, bucket: FlatRange): void {
  world.allGather(cut(flat, partOfBucket(bucket, optimizer.shard)), cut(flat, bucket));
}

/** Elements that ops see as they are, by the rank that updates them: the few before the rounded ones. */
function unroundedParts({ parameters: { numUnrounded, buckets }, optimizer: { shard } }: Training) {
  return buckets.flatMap((bucket) =>
    Array.from({ length: shard.count }, (_, owner) => {
      const { begin, end } = partOfBucket(bucket, { ...shard, index: owner });
      return { owner, begin, end: Math.min(end, numUnrounded) };
    }).filter(({ begin, end }) => begin < end),
  );
}

function cut(flat: Tensor, { begin, end }: FlatRange): Tensor {
  return flat.view([end - begin], begin);
}

/** Runs `collective` after the work that makes `tensor`, and what comes next after it. */
function after(world: Communicator, { device }: Tensor, collective: () => void): void {
  world.stream.wait(device.compute.record());
  collective();
  device.compute.wait(world.stream.record());
}
