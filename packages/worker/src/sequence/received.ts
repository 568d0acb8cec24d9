import type { Tensor } from '@longscan/kernels';

/**
 * Where a forward pass gets what comes from other ranks (incoming states, halos): from them, or from an earlier run of
 * the same code. Every such tensor passes through `next`, in the same order in every run.
 */
export interface Received {
  /** The tensors are known: nothing may be sent or received. */
  readonly isReplay: boolean;
  /** The next tensor; `receive` is called only if it is not known. Null: there is nothing before this slice. */
  next(receive: () => Tensor | null): Tensor | null;
}

/** From the other ranks. */
export const live: Received = { isReplay: false, next: (receive) => receive() };

/** Keeps what one run receives, so that another one of the same code communicates nothing. */
export class ReceivedLog {
  private readonly log: (Tensor | null)[] = [];

  /** What there is to keep alive until the last replay; the log itself holds a reference until `release`. */
  get tensors(): Tensor[] {
    return this.log.filter((tensor) => tensor !== null);
  }

  /** For the first run. */
  record(): Received {
    return {
      isReplay: false,
      next: (receive) => {
        const tensor = receive();
        this.log.push(tensor?.retain() ?? null);
        return tensor;
      },
    };
  }

  /** For each later run. @throws RangeError if it asks for more than the first run did */
  replay(): Received {
    const rest = [...this.log].reverse();
    return {
      isReplay: true,
      next: () => {
        const tensor = rest.pop();
        if (tensor === undefined) throw new RangeError('a replayed run receives more than the first one did');
        return tensor;
      },
    };
  }

  release(): void {
    for (const tensor of this.tensors) tensor.release();
  }
}
