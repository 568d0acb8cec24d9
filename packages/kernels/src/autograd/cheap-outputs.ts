import type { Device } from '../device.js';
import type { Tensor } from '../tensor.js';

/** An output that costs less to compute again than to keep until the backward pass. */
export interface CheapOutput {
  readonly output: Tensor;
  /** What `make` computes it from. */
  readonly reads: readonly Tensor[];
  /** The same bits as before, in a new tensor. */
  readonly make: () => Tensor;
}

/** What holds the tensors that a backward rule reads. */
export class Hold {
  /** Kept alive. */
  readonly kept: Tensor[] = [];
  /** Let go of, to be made again. */
  readonly cheap: Tensor[] = [];

  release(): void {
    for (const tensor of this.kept) tensor.release();
  }
}

interface Entry extends CheapOutput {
  /** What keeps its `reads`; null: nobody wants the output in the backward pass so far. */
  hold: Hold | null;
  isMade: boolean;
}

/**
 * Outputs of norms, activations and their like are wanted again by the backward rules of what reads them: a projection
 * needs its input for the gradient of its weight. They are as large as what the norm itself keeps, so they are let go of in
 * the forward pass, and made again from that when the first of their readers is visited. They live until the op that made
 * them is visited, which is after all its readers.
 */
export class CheapOutputs {
  private readonly entries = new Map<Tensor, Entry>();

  constructor(private readonly device: Device) {}

  add(cheap: CheapOutput): void {
    this.entries.set(cheap.output, { ...cheap, hold: null, isMade: false });
  }

  /** Holds what a backward rule reads. */
  hold(tensors: readonly Tensor[]): Hold {
    const hold = new Hold();
    for (const tensor of tensors) {
      const entry = this.entries.get(tensor);
      if (entry !== undefined && this.canMake(entry)) {
        entry.hold ??= this.hold(entry.reads);
        hold.cheap.push(tensor);
      } else {
        hold.kept.push(tensor.retain());
      }
    }
    return hold;
  }

  /** Before a backward rule runs: everything that it reads is there. */
  make({ cheap }: Hold): void {
    for (const tensor of cheap) {
      const entry = this.entries.get(tensor)!;
      if (entry.isMade) continue;
      entry.isMade = true;
      this.make(entry.hold!);
      if (tensor.isReleased) this.makeAgain(entry);
      else tensor.retain();
    }
  }

  /** The op that made `output` has been visited: nobody reads it any more. */
  drop(output: Tensor): void {
    const entry = this.entries.get(output);
    if (entry === undefined) return;
    this.entries.delete(output);
    if (entry.isMade) output.release();
    entry.hold?.release();
  }

  /** Drops all of them. */
  clear(): void {
    for (const output of [...this.entries.keys()]) this.drop(output);
  }

  /** Not if something that it is made from is gone already: then the output itself is kept. */
  private canMake({ hold, reads }: Entry): boolean {
    if (hold !== null) return true;
    return reads.every((tensor) => {
      const entry = this.entries.get(tensor);
      return !tensor.isReleased || (entry !== undefined && this.canMake(entry));
    });
  }

  private makeAgain({ output, make }: Entry): void {
    const { device } = this;
    const flopsBefore = device.flops;
    device.scope(() => output.revive(device.withoutTape(make)));
    // A step's operations are those of the model's definition.
    device.flops = flopsBefore;
  }
}
