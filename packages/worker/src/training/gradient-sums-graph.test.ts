import { type Communicator, copy, fromArray, type Tensor } from '@longscan/kernels';
import { openFakeNcclGroup } from '@longscan/kernels/testing';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Parameters } from '../model/parameters.js';
import { wholeShard } from '../optim/shard.js';
import { GradientSums } from './gradient-sums.js';
import { finishSums } from './over-ranks.js';
import type { Training } from './training.js';

// Sums beside a backward pass that is a graph, on GPUs that are threads: those of the pass kernel by kernel.

/** Parameters of each block: buckets of different sizes, which so can be told apart. */
const sizes = [16, 32, 48];
/** Buckets of all blocks but the first, then that one's and the loss. */
const numCollectives = sizes.length + 1;

/** A rank whose backward pass gives every block the gradient that it is told, and is held behind that of the last block. */
class Rank {
  readonly words = new Int32Array(new SharedArrayBuffer(4));
  readonly open: (() => void)[] = [];
  private readonly training: Training;
  private readonly sources: readonly Tensor[];

  constructor(readonly world: Communicator) {
    const { device } = world.stream;
    const specs = sizes.map((size, block) => ({
      name: `w${block}`,
      shape: [size],
      init: { constant: 0 },
      block,
    }));
    const parameters = new Parameters(device, specs, { numExtra: 1, bucketBytes: 64 });
    assert.is(parameters.buckets.length, sizes.length);
    const optimizer = { hasStepped: true, shard: wholeShard };
    const mesh = { sp: null, world };
    this.training = { device, parameters, optimizer, mesh, sequence: null } as unknown as Training;
    this.sources = sizes.map((size) => fromArray(device, new Float32Array(size), [size]));
    world.attachProgress(this.words, 0);
  }

  write(step: number): void {
    for (const [block, source] of this.sources.entries()) {
      source.write(new Float32Array(source.size).fill(100 * step + 10 * block + this.world.rank));
    }
  }

  passes(): void {
    const { device, parameters } = this.training;
    const sums = GradientSums.of(this.training)!;
    parameters.startGradients();
    sums.watch();
    const { tape } = device.record(() => {
      for (const [block, source] of this.sources.entries()) {
        parameters.beforeBlock(block);
        device.tape!.notePoint(() => {
          if (block === sizes.length - 2) {
            device.compute.between(() => this.open.push(device.compute.closeGate()));
          }
          const parameter = parameters.byName.get(`w${block}`)!;
          parameter.isGradientStale = false;
          copy(source, parameter.gradient!);
        });
      }
    });
    tape.backward([], []);
    parameters.finishGradients();
    sums.finish();
  }

  async finish(): Promise<number[]> {
    const { device, parameters } = this.training;
    device.scope(() => finishSums(this.training));
    return [...(await parameters.gradients.read())];
  }
}

/** Gradients of rank 0 after each step, and what its communicator has done. */
async function run(asGraph: boolean) {
  const group = await openFakeNcclGroup(2);
  const ranks = group.comms.map((world) => new Rank(world));
  const { stream } = ranks[0]!.world;
  const end = stream.trace({ maxSpans: 100 });
  const starts = ranks.map((rank) => {
    const { device } = rank.world.stream;
    const body = () => device.scope(() => rank.passes());
    if (!asGraph) return body;
    const graph = device.compute.capture(body);
    return () => assert.ok(graph.launch());
  });
  const gradients: number[][] = [];
  for (const step of [1, 2, 3]) {
    for (const rank of ranks) rank.write(step);
    for (const start of starts) start();
    for (const { words, open } of ranks) {
      const deadline = performance.now() + 60_000;
      while (Atomics.load(words, 0) <= numCollectives * (step - 1)) {
        assert.ok(performance.now() < deadline, 'no sum begins while the pass is held');
        await new Promise(setImmediate);
      }
      assert.is(open.length, 1);
      open.pop()!();
    }
    const [first, second] = await Promise.all(ranks.map((rank) => rank.finish()));
    assert.equal(first, second);
    gradients.push(first!);
  }
  const { spans } = await end();
  await group.close();
  const collectives = spans.flatMap(({ op, collective }) =>
    collective === null ? [] : { op, bytesSent: collective.bytesSent },
  );
  return { gradients, collectives };
}

test('gradient sums ~> in a graph: the same sums in the same order, launch by launch', async () => {
  const [plain, graph] = [await run(false), await run(true)];
  assert.equal(graph, plain);
  assert.is(plain.collectives.length, 3 * numCollectives);
  for (const [i, values] of plain.gradients.entries()) {
    const step = i + 1;
    const expected = sizes.flatMap((size, block) => new Array(size).fill(2 * (100 * step + 10 * block) + 1));
    assert.equal(values, [...expected, 0]);
  }
  const [last, middle, first] = plain.collectives.map(({ bytesSent }) => bytesSent);
  assert.ok(last! > middle! && middle! > first!, 'buckets from the last block to the first');
});

test.run();
