import type { Device } from '../device.js';
import { LongscanError } from '../errors.js';
import { emptyLike, type Tensor } from '../tensor.js';
import { type CheapOutput, CheapOutputs, type Hold } from './cheap-outputs.js';
import type { GradientSums } from './op-call.js';
import type { UnitWriter } from './token-units.js';

/** One recorded op. */
export interface TapeNode {
  readonly name: string;
  readonly inputs: readonly Tensor[];
  readonly outputs: readonly Tensor[];
  /** There when this node's backward runs. */
  readonly saved: readonly Tensor[];
  /** Those of them that only the work reads which its backward puts off (`defer`): there when that runs. Default: none. */
  readonly late?: readonly Tensor[];
  /** One of the outputs that need not be kept for those who read it, see `Device.remakesCheapOutputs`. */
  readonly cheap?: CheapOutput;
  /** Its rule calls `flushDeferred` while it waits for other ranks. */
  readonly flushes?: boolean;
  /**
   * Gradients of the inputs, in their order, from those of the outputs (null: none reaches it). A gradient that was
   * already accumulated (a deferred weight gradient) is returned as null. `remade`: where the cheap output is written again.
   */
  backward(gradients: readonly (Tensor | null)[], remade: Tensor | null): readonly (Tensor | null)[];
}

interface RecordedNode extends TapeNode {
  readonly hold: Hold;
  /** Runs when the backward pass is through all that was recorded later. */
  readonly passed?: () => void;
}

/** Work that nothing later in the backward pass waits for, and the tensors that it reads. */
interface Deferred {
  readonly tensors: readonly Tensor[];
  readonly run: () => void;
}

/** Deterministic mode: what adds to one parameter's gradient, collected until all its uses have been visited. */
interface ParameterUses {
  remaining: number;
  readonly reads: Tensor[];
  readonly writers: UnitWriter[];
}

/**
 * Reverse-mode differentiation over recorded ops. Gradients of tensors that several ops read are added; those of
 * parameters are accumulated (`+=`) into `parameter.gradient`.
 */
export class Tape {
  private nodes: RecordedNode[] = [];
  private deferred: Deferred[] = [];
  /** Recorded nodes that flush what is deferred. */
  private numFlushing = 0;
  private readonly gradients = new Map<Tensor, Tensor>();
  /** Of these, or about to be: those that nothing else refers to, so that they can be added to in place. */
  private readonly exclusive = new Set<Tensor>();
  private readonly uses = new Map<Tensor, ParameterUses>();

  private readonly cheapOutputs: CheapOutputs;

  /** For backward rules that can add to a gradient by themselves. */
  readonly sums: GradientSums = {
    find: (tensor) => {
      const gradient = this.gradients.get(tensor);
      return gradient !== undefined && this.exclusive.has(gradient) ? gradient : null;
    },
    noteFresh: (gradient) => void this.exclusive.add(gradient),
  };

  constructor(readonly device: Device) {
    this.cheapOutputs = new CheapOutputs(device);
  }

  record(node: TapeNode): void {
    const hold = this.cheapOutputs.hold(node.saved, node.late);
    if (node.cheap !== undefined && this.device.remakesCheapOutputs) this.cheapOutputs.add(node.cheap);
    for (const output of node.outputs) output.requiresGrad = true;
    if (this.device.units !== null) {
      for (const parameter of parametersOf(node)) this.usesOf(parameter).remaining++;
    }
    if (node.flushes) this.numFlushing++;
    this.nodes.push({ ...node, hold });
  }

  /**
   * Runs `passed` on the host when the backward pass has enqueued all that belongs to what is recorded from here on, but for
   * what it has put off: see `afterDeferred`.
   */
  notePoint(passed: () => void): void {
    const hold = this.cheapOutputs.hold([]);
    this.nodes.push({ name: 'point', inputs: [], outputs: [], saved: [], hold, passed, backward: () => [] });
  }

  /**
   * Puts off work that only writes parameter gradients until `flushDeferred`: a recurrence calls that while its scan
   * is under way, so that communication has something to hide behind. Runs it now if no such node is left; in any case not
   * before all that it reads is there.
   */
  defer(tensors: readonly Tensor[], run: () => void): void {
    if (this.cheapOutputs.putOff(tensors, () => this.defer(tensors, run))) return;
    if (this.numFlushing === 0) {
      this.device.scope(run);
      return;
    }
    for (const tensor of tensors) tensor.retain();
    this.deferred.push({ tensors, run });
  }

  /** For a rule that does not put off what it said it would. */
  ready(tensors: readonly Tensor[]): void {
    this.cheapOutputs.makeAll(tensors);
  }

  /** Runs `run` behind all that is put off so far: now, if nothing is. */
  afterDeferred(run: () => void): void {
    if (this.deferred.length === 0) this.device.scope(run);
    else this.deferred.push({ tensors: [], run });
  }

  /** The same as `defer` for what is added to a parameter's gradient. */
  deferGradient(
    parameter: Tensor,
    reads: readonly Tensor[],
    write: (target: Tensor, accumulate: boolean) => void,
  ): void {
    this.defer(reads, () => write(parameter.gradient!, !takeStale(parameter)));
  }

  /**
   * Deterministic mode: `write` gives what each unit adds to a parameter's gradient. It is put off until all uses of the
   * parameter are known: they are added within a unit before units are.
   */
  deferByUnit(parameter: Tensor, reads: readonly Tensor[], write: UnitWriter): void {
    const uses = this.usesOf(parameter);
    for (const tensor of reads) tensor.retain();
    uses.reads.push(...reads);
    uses.writers.push(write);
  }

  /** Enqueues everything that was put off so far. */
  flushDeferred(): void {
    const work = this.deferred;
    this.deferred = [];
    try {
      for (let next = work[0]; next !== undefined; next = work[0]) {
        this.device.scope(next.run);
        releaseAll(next.tensors);
        work.shift();
      }
    } catch (error) {
      // For `clear` to give back.
      this.deferred.push(...work);
      throw error;
    }
  }

  /**
   * Enqueues the backward pass from `outputs` with gradients `seeds` (same shapes), and forgets the recorded ops.
   * What reaches a parameter is added to its `gradient`. Returns what reaches each of `wanted`, leaves without a
   * `gradient` of their own; null: nothing.
   */
  backward(
    outputs: readonly Tensor[],
    seeds: readonly Tensor[],
    wanted: readonly Tensor[] = [],
  ): (Tensor | null)[] {
    try {
      outputs.forEach((output, i) => {
        this.device.scope(() => this.accumulate(output, seeds[i]!));
      });
      for (let node = this.nodes.at(-1); node !== undefined; node = this.nodes.at(-1)) {
        const visited = node;
        this.device.scope(() => this.visit(visited));
        this.nodes.pop();
      }
      this.flushDeferred();
    } catch (error) {
      this.clear();
      throw error;
    }
    const results = wanted.map((leaf) => this.takeGradient(leaf));
    releaseAll(this.gradients.values());
    this.gradients.clear();
    this.exclusive.clear();
    return results;
  }

  /** Drops what was recorded, and what a backward pass that failed has left. */
  clear(): void {
    for (const { hold } of this.nodes) hold.release();
    this.nodes = [];
    for (const { tensors } of this.deferred) releaseAll(tensors);
    this.deferred = [];
    releaseAll(this.gradients.values());
    this.gradients.clear();
    this.exclusive.clear();
    this.numFlushing = 0;
    this.cheapOutputs.clear();
    for (const { reads } of this.uses.values()) releaseAll(reads);
    this.uses.clear();
  }

  private visit(node: RecordedNode): void {
    if (node.flushes) this.numFlushing--;
    const gradients = node.outputs.map((output) => this.gradients.get(output) ?? null);
    const remade = this.startRemaking(node);
    // From here on the rule may hand them on.
    for (const gradient of gradients) if (gradient !== null) this.exclusive.delete(gradient);
    if (gradients.some((gradient) => gradient !== null)) {
      this.cheapOutputs.make(node.hold);
      const results = node.backward(gradients, remade);
      node.inputs.forEach((input, i) => {
        const gradient = results[i] ?? null;
        if (gradient === null || !input.requiresGrad) return;
        expectType(node, input, gradient);
        this.accumulate(input, gradient);
      });
    }
    for (const output of node.outputs) {
      this.gradients.get(output)?.release();
      this.gradients.delete(output);
    }
    node.hold.release();
    if (remade !== null) this.cheapOutputs.finishRemaking(node.cheap!.output, remade);
    if (node.cheap !== undefined) this.cheapOutputs.drop(node.cheap.output);
    if (this.device.units !== null) for (const parameter of parametersOf(node)) this.settle(parameter);
    if (node.passed !== undefined) this.reachPoint(node.passed);
  }

  private reachPoint(passed: () => void): void {
    // What would come by itself further back is wanted by gradients of what lies behind the point.
    this.cheapOutputs.makeAwaited();
    passed();
  }

  private startRemaking({ cheap }: RecordedNode): Tensor | null {
    if (cheap === undefined) return null;
    const gradient = this.gradients.get(cheap.output) ?? null;
    const isExclusive = gradient !== null && this.exclusive.has(gradient);
    return this.cheapOutputs.startRemaking(cheap.output, gradient, isExclusive);
  }

  private usesOf(parameter: Tensor): ParameterUses {
    const known = this.uses.get(parameter);
    if (known !== undefined) return known;
    const uses = { remaining: 0, reads: [], writers: [] };
    this.uses.set(parameter, uses);
    return uses;
  }

  /** One use of a parameter has been visited. */
  private settle(parameter: Tensor): void {
    const uses = this.usesOf(parameter);
    if (--uses.remaining > 0) return;
    this.uses.delete(parameter);
    const { reads, writers } = uses;
    if (writers.length === 0) return;
    this.deferred.push({
      tensors: reads,
      run: () => this.device.units!.addGradient(parameter, writers),
    });
  }

  /** Hands the reference that this tape holds to the surrounding scope. */
  private takeGradient(leaf: Tensor): Tensor | null {
    const gradient = this.gradients.get(leaf) ?? null;
    this.gradients.delete(leaf);
    return gradient && this.device.own(gradient);
  }

  private accumulate(tensor: Tensor, gradient: Tensor): void {
    const { native, compute, units } = this.device;
    if (tensor.gradient !== null && units !== null) {
      this.deferByUnit(tensor, [gradient], (unit, target, accumulate) => {
        const piece = units.slot(gradient, tensor.shape, unit);
        if (accumulate) native.axpy(compute.id, 1, piece.id, target.id);
        else native.copy(compute.id, piece.id, target.id);
      });
      return;
    }
    if (tensor.gradient !== null) {
      if (takeStale(tensor)) native.fill(compute.id, tensor.gradient.id, 0);
      native.axpy(compute.id, 1, gradient.id, tensor.gradient.id);
      return;
    }
    const before = this.gradients.get(tensor);
    if (before === undefined) {
      this.gradients.set(tensor, gradient.retain());
      return;
    }
    if (this.exclusive.has(before)) {
      native.axpy(compute.id, 1, gradient.id, before.id);
      return;
    }
    // A sum in a new tensor: `before` may be the very tensor that another input received.
    const total = emptyLike(gradient);
    native.addForward(compute.id, before.id, gradient.id, total.id);
    this.gradients.set(tensor, total.retain());
    this.exclusive.add(total);
    before.release();
  }
}

function releaseAll(tensors: Iterable<Tensor>): void {
  for (const tensor of tensors) tensor.release();
}

/** Whether a parameter's gradient is to be written over; whoever asks does so. */
export function takeStale(parameter: Tensor): boolean {
  const { isGradientStale } = parameter;
  parameter.isGradientStale = false;
  return isGradientStale;
}

/** Its inputs that have a place for their gradient, once for every time that they occur. */
function parametersOf(node: TapeNode): Tensor[] {
  return node.inputs.filter((input) => input.gradient !== null);
}

/** A gradient has its tensor's type, but for a parameter's: that is added to one of a type of its own. */
function expectType({ name }: TapeNode, input: Tensor, gradient: Tensor): void {
  if (input.gradient !== null || gradient.dtype === input.dtype) return;
  throw new LongscanError({
    code: 'E-DTYPE',
    where: `${name}, backward`,
    found: `a gradient in ${gradient.dtype} of an input [${input.shape.join(', ')}] in ${input.dtype}`,
    expected: 'one type',
    fix: "give the gradient the input's type in the op's backward",
  });
}
