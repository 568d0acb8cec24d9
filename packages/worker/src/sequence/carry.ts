import {
  type Communicator,
  type Device,
  type DType,
  empty,
  LongscanError,
  type Tensor,
} from '@longscan/kernels';

/** One call of a layer that looks back, in a step whose sequences go on from the step before. */
export interface CarriedCall {
  /** What the step before left, on the rank where the sequence begins; null elsewhere, and where nothing went before. */
  readonly entering: Tensor | null;
  /** Says what the call leaves behind; `make` runs on the rank where the sequence ends. No gradient goes through it. */
  leave(shape: readonly number[], dtype: DType, make: () => Tensor): void;
}

/** What the last rank sends and the first one awaits. */
interface Leaving {
  readonly shape: readonly number[];
  readonly dtype: DType;
  /** Null on the first of several ranks. */
  readonly tensor: Tensor | null;
}

/**
 * States and halos that a training step hands on to the next one (truncated backpropagation through time): they leave the
 * sequence on its last rank and enter the next one on its first.
 */
export class Carry {
  /** Tokens of these sequences that earlier steps have read. */
  tokensBefore = 0;
  private readonly entering = new Map<string, Tensor>();
  private readonly leaving = new Map<string, Leaving>();

  /** `communicator`: the ranks that hold a sequence; null: this one alone. */
  constructor(
    private readonly device: Device,
    private readonly communicator: Communicator | null,
  ) {}

  /** What enters the next step, by layer and call; empty on all ranks but the first. */
  get states(): ReadonlyMap<string, Tensor> {
    return this.entering;
  }

  /** Before each step: how many tokens of its sequences earlier steps have read; none: nothing enters. */
  startStep(tokensBefore: number): void {
    this.tokensBefore = tokensBefore;
    if (tokensBefore === 0) this.forget();
  }

  /** The calls of one layer in one forward pass, in their order. A replay leaves nothing behind. */
  callsOf(layer: number, isReplay: boolean): () => CarriedCall {
    let numCalls = 0;
    return () => {
      const key = `${layer}.${numCalls++}`;
      return {
        entering: this.entering.get(key) ?? null,
        leave: (shape, dtype, make) => {
          if (!isReplay) this.keep(key, shape, dtype, make);
        },
      };
    };
  }

  /** Sends what left the last rank to the first one, for the step after this one. Enqueues only. */
  passOn(): void {
    const left = [...this.leaving];
    this.leaving.clear();
    if (left.length === 0) return;
    this.forget();
    this.device.scope(() => {
      for (const [key, tensor] of this.communicator === null
        ? alone(left)
        : this.exchange(left, this.communicator)) {
        this.entering.set(key, tensor.retain());
      }
    });
    for (const [, { tensor }] of left) tensor?.release();
  }

  /** Puts back what a checkpoint holds; takes over the caller's reference. */
  restore(key: string, tensor: Tensor): void {
    this.entering.set(key, tensor);
  }

  private forget(): void {
    for (const tensor of this.entering.values()) tensor.release();
    this.entering.clear();
  }

  private keep(key: string, shape: readonly number[], dtype: DType, make: () => Tensor): void {
    const { rank, size } = this.communicator ?? { rank: 0, size: 1 };
    if (rank === size - 1) this.leaving.set(key, { shape, dtype, tensor: detached(make()) });
    else if (rank === 0) this.leaving.set(key, { shape, dtype, tensor: null });
  }

  /** Gives the first rank what the last one sends, in the order of the calls, which is the same on both. */
  private exchange(left: readonly [string, Leaving][], communicator: Communicator): [string, Tensor][] {
    const { stream, rank, size } = communicator;
    if (rank > 0) {
      stream.wait(this.device.compute.record());
      for (const [, { tensor }] of left) communicator.send(tensor!, 0);
      return [];
    }
    const received = left.map(([key, { shape, dtype }]): [string, Tensor] => {
      const tensor = empty(this.device, shape, dtype, stream);
      communicator.recv(tensor, size - 1);
      return [key, tensor];
    });
    this.device.compute.wait(stream.record());
    return received;
  }
}

/** Keys and values of earlier steps are not handed on: their number grows with the text. */
export function refuseCarry(layer: number): LongscanError {
  return new LongscanError({
    code: 'E-CARRY',
    where: `data.carry with layer ${layer}`,
    found: 'softmax attention',
    expected: 'layers whose memory is a state of fixed size',
    fix: 'set data.carry = false, or use another layer',
    exitCode: 2,
  });
}

function alone(left: readonly [string, Leaving][]): [string, Tensor][] {
  return left.map(([key, { tensor }]) => [key, tensor!]);
}

/** The same memory without its place on the tape, referenced until it has been handed on. */
function detached(tensor: Tensor): Tensor {
  return tensor.view(tensor.shape).retain();
}
