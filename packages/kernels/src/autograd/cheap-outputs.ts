import type { Device } from '../device.js';
import { emptyLike, type Tensor } from '../tensor.js';

/** An output that costs less to compute again than to keep until the backward pass. */
export interface CheapOutput {
  readonly output: Tensor;
  /** What `make` computes it from. */
  readonly reads: readonly Tensor[];
  /** The same bits as before, in a new tensor. */
  readonly make: () => Tensor;
  /** `gradients`: the op's backward rule can write it too; `view`: it is what it reads, in another shape. Left out: neither. */
  readonly comesWith?: 'gradients' | 'view';
}

/** What holds the tensors that a backward rule reads. */
export class Hold {
  /** Kept alive. */
  readonly kept: Tensor[] = [];
  /** Let go of, to be made again. */
  readonly cheap: Tensor[] = [];
  /** Those of them that the rule itself does without: only what it puts off reads them. */
  readonly late: Tensor[] = [];

  release(): void {
    for (const tensor of this.kept) tensor.release();
    this.kept.length = 0;
  }
}

/** Work that reads an output which is not there yet. */
interface Waiting {
  /** The output, or a view of it. */
  readonly tensor: Tensor;
  /** What else it reads. */
  readonly kept: readonly Tensor[];
  readonly run: () => void;
}

interface Entry extends CheapOutput {
  /** What keeps its `reads`; null: nobody wants the output in the backward pass so far. */
  hold: Hold | null;
  isMade: boolean;
  waiting: Waiting[];
}

/**
 * Outputs of norms, activations and their like are wanted again by the backward rules of what reads them: a projection
 * needs its input for the gradient of its weight. They are as large as what the norm itself keeps, so they are let go of in
 * the forward pass, and made again from that when the first of their readers is visited. They live until the op that made
 * them is visited, which is after all its readers.
 *
 * Where all readers can wait, as gradients of weights can, that op's own backward rule writes its output beside its gradients:
 * it reads what that takes anyway. They run then.
 */
export class CheapOutputs {
  private readonly entries = new Map<Tensor, Entry>();

  constructor(private readonly device: Device) {}

  add(cheap: CheapOutput): void {
    this.entries.set(cheap.output, { ...cheap, hold: null, isMade: false, waiting: [] });
  }

  /** Holds what a backward rule reads; of that, `late` by what it puts off alone. */
  hold(tensors: readonly Tensor[], late: readonly Tensor[] = []): Hold {
    const hold = new Hold();
    for (const tensor of tensors) {
      const entry = this.entries.get(tensor);
      if (entry !== undefined && this.canMake(entry)) {
        entry.hold ??= this.hold(entry.reads);
        (late.includes(tensor) ? hold.late : hold.cheap).push(tensor);
      } else {
        hold.kept.push(tensor.retain());
      }
    }
    return hold;
  }

  /** Before a backward rule runs: everything that it reads is there, but for what comes later. */
  make({ cheap, late }: Hold): void {
    for (const tensor of cheap) this.makeOne(tensor);
    for (const tensor of late) if (!this.canWait(tensor)) this.makeOne(tensor);
  }

  /** Everything of it is there. */
  makeAll(tensors: readonly Tensor[]): void {
    for (const tensor of tensors) if (tensor.isReleased) this.makeOne(tensor);
  }

  /** Runs `run` once all that it reads is there; false: it is already. */
  putOff(reads: readonly Tensor[], run: () => void): boolean {
    const [tensor, ...others] = reads.filter((read) => read.isReleased);
    if (tensor === undefined) return false;
    this.makeAll(others);
    const kept = reads.filter((read) => read !== tensor).map((read) => read.retain());
    this.sourceOf(tensor)!.waiting.push({ tensor, kept, run });
    return true;
  }

  /** Everything that somebody waits for is there. */
  makeAwaited(): void {
    for (const { output, waiting } of this.entries.values()) if (waiting.length > 0) this.makeOne(output);
  }

  /**
   * Before the backward rule of the op that made `output`: where the rule is to write it, if anybody waits for it. It may be
   * the memory of `gradient`, the output's own, if nobody else holds that (`isExclusive`).
   */
  startRemaking(output: Tensor, gradient: Tensor | null, isExclusive: boolean): Tensor | null {
    const entry = this.entries.get(output);
    if (entry === undefined || entry.waiting.length === 0) return null;
    if (gradient === null) {
      this.makeOne(output);
      return null;
    }
    // The rule holds what it reads by itself.
    entry.hold!.release();
    return isExclusive ? gradient.view(output.shape) : emptyLike(output);
  }

  /** After it: `output` is there, in the tensor that `startRemaking` gave. Runs what waited. */
  finishRemaking(output: Tensor, remade: Tensor): void {
    const entry = this.entries.get(output)!;
    entry.isMade = true;
    output.revive(remade);
    this.runWaiting(entry);
  }

  /** The op that made `output` has been visited: nobody reads it any more. */
  drop(output: Tensor): void {
    const entry = this.entries.get(output);
    if (entry === undefined) return;
    this.entries.delete(output);
    if (entry.isMade) output.release();
    entry.hold?.release();
    for (const { kept } of entry.waiting) for (const tensor of kept) tensor.release();
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

  private makeOne(tensor: Tensor): void {
    const entry = this.entries.get(tensor)!;
    if (entry.isMade) return;
    entry.isMade = true;
    this.make(entry.hold!);
    if (tensor.isReleased) this.makeAgain(entry);
    else tensor.retain();
    this.runWaiting(entry);
  }

  private makeAgain({ output, make }: Entry): void {
    const { device } = this;
    const flopsBefore = device.flops;
    device.scope(() => output.revive(device.withoutTape(make)));
    // A step's operations are those of the model's definition.
    device.flops = flopsBefore;
  }

  /** Whether a tensor that is not there comes by itself before the backward pass has gone by the op that made it. */
  private canWait(tensor: Tensor): boolean {
    return tensor.isReleased && this.sourceOf(tensor) !== null;
  }

  /** The output that a backward rule will write, of which this is a view; null: it comes in no such way. */
  private sourceOf(tensor: Tensor): Entry | null {
    const entry = this.entries.get(tensor);
    if (entry === undefined || entry.isMade) return null;
    if (entry.comesWith === 'view') return this.sourceOf(entry.reads[0]!);
    return entry.comesWith === 'gradients' && tensor.isReleased ? entry : null;
  }

  private runWaiting(entry: Entry): void {
    const waiting = entry.waiting;
    entry.waiting = [];
    for (const { tensor, kept, run } of waiting) {
      if (tensor.isReleased) tensor.revive(entry.output);
      else tensor.retain();
      run();
      for (const one of [tensor, ...kept]) one.release();
    }
  }
}
