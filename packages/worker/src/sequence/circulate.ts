import { fill, type Message, type Tensor } from '@longscan/kernels';
import { startExchange } from './exchange.js';
import type { KeyBlock, KeyBlocks } from './key-blocks.js';
import type { KeyRing } from './key-ring.js';
import type { SliceGroup } from './slice-group.js';

/**
 * Shows this rank its own block and then each that comes to it; null: none comes with this hop. A block is on its way to the
 * next rank while it is visited, so memory for two blocks is all that this takes beside the rank's own. Only enqueues.
 */
export function circulate(
  ring: KeyRing,
  blocks: KeyBlocks,
  group: SliceGroup,
  visit: (block: KeyBlock | null, hop: number) => void,
): void {
  const { rank } = group.communicator;
  const memory = Array.from({ length: Math.min(2, ring.numHops) }, () => blocks.allocateAny());
  let block: KeyBlock | null = blocks.packOwn();
  for (let hop = 0; hop <= ring.numHops; hop++) {
    const owner = ring.ownerAt(rank, hop + 1);
    // Where it goes lay the block before this one, whose visit the exchange waits for.
    const next = owner === null ? null : blocks.inMemory(memory[hop % 2]!, owner);
    const to = block && ring.holderAt(block.owner, hop + 1);
    const arrive = startExchange(
      group,
      block === null || to === null ? [] : [{ tensor: block.memory, peer: to }],
      next === null ? [] : [{ tensor: next.memory, peer: ring.holderAt(next.owner, hop)! }],
    );
    visit(block, hop);
    arrive();
    block = next;
  }
}

/** Gradients of blocks, on the same way as the blocks: each rank adds its part, and the last one sends the sum home. */
export class BlockGradients {
  /** What this rank says of its own block; where nobody else sees it, all there is. */
  private readonly own: KeyBlock;
  private readonly home: KeyBlock;
  /** For parts of this rank and for sums that come, from the first hop on, in turn. */
  private readonly parts: readonly Tensor[];
  private readonly sums: readonly Tensor[];
  /** When the communication stream has done with the parts. */
  private readonly isFree: (() => void)[] = [];

  constructor(
    private readonly ring: KeyRing,
    private readonly blocks: KeyBlocks,
    private readonly group: SliceGroup,
  ) {
    const { rank, stream } = group.communicator;
    this.own = blocks.allocate(rank, stream.device.compute);
    this.home = ring.holderAt(rank, 1) === null ? this.own : blocks.allocate(rank);
    const two = Array.from({ length: Math.min(2, ring.numHops) });
    this.parts = two.map(() => blocks.allocateAny());
    this.sums = two.map(() => blocks.allocateAny());
  }

  /** Runs `add` on zeros for what this rank says of the block, if it has one after so many hops, and hands the sum on. */
  visit(block: KeyBlock | null, hop: number, add: (part: KeyBlock) => void): void {
    const { stream } = this.group.communicator;
    const { native, compute } = stream.device;
    let sum: KeyBlock | null = null;
    if (block !== null) {
      this.isFree[hop - 2]?.();
      const part = hop === 0 ? this.own : this.turn(this.parts, hop, block.owner);
      fill(part.memory, 0);
      add(part);
      stream.wait(compute.record());
      sum = hop === 0 ? part : this.turn(this.sums, hop, block.owner);
      if (hop > 0) native.axpy(stream.id, 1, part.memory.id, sum.memory.id);
    }
    this.handOn(sum, hop);
    const done = stream.record();
    this.isFree.push(() => compute.wait(done));
  }

  /** Gradients of this rank's own block; orders the compute stream after the last of them. */
  wait(): KeyBlock {
    this.isFree.at(-1)?.();
    return this.home;
  }

  private turn(memory: readonly Tensor[], hop: number, owner: number): KeyBlock {
    return this.blocks.inMemory(memory[(hop - 1) % 2]!, owner);
  }

  private handOn(sum: KeyBlock | null, hop: number): void {
    const { ring } = this;
    const { rank } = this.group.communicator;
    const to = sum && (ring.holderAt(sum.owner, hop + 1) ?? sum.owner);
    const sends = sum === null || to === null || to === rank ? [] : [{ tensor: sum.memory, peer: to }];
    const recvs: Message[] = [];
    const next = ring.ownerAt(rank, hop + 1);
    if (next !== null) {
      const { memory } = this.turn(this.sums, hop + 1, next);
      recvs.push({ tensor: memory, peer: ring.holderAt(next, hop)! });
    }
    const last = ring.holderAt(rank, hop);
    if (last !== null && last !== rank && ring.holderAt(rank, hop + 1) === null) {
      recvs.push({ tensor: this.home.memory, peer: last });
    }
    if (sends.length + recvs.length > 0) this.group.communicator.exchange(sends, recvs);
  }
}
