import {
  forwardCall,
  type RecurrenceInputs,
  type RecurrenceOp,
  runRecurrence,
  sequenceTail,
  type Tensor,
} from '@longscan/kernels';
import { withHalo } from '../halo.js';
import type { LayerContext } from '../layer.js';
import { live, type Received } from '../received.js';
import { recurrence } from '../recurrence.js';
import type { SequenceGroup } from '../sequence-group.js';
import { type RunWithHalo, shortRange } from './short-range.js';

/** Gives each layer its context for one forward pass. */
export interface ContextSource {
  /** `received`: where the pass gets what other ranks send; default: from them. */
  forLayer(index: number, received?: Received): LayerContext;
  /** What its contexts read beside a layer's input. */
  readonly tensors: readonly Tensor[];
}

/** Training and validation: this rank's slice of sequences that begin with an empty memory. */
export function sliceContexts(group: SequenceGroup | null, resets: Tensor | null): ContextSource {
  return {
    tensors: resets === null ? [] : [resets],
    forLayer: (_index, received = live) => ({
      recurrence: (op, inputs, meanwhile) => recurrence(op, inputs, { group, resets, received, meanwhile }),
      ...shortRange((x, numRows, op) => op(withHalo(x, numRows, { group, resets, received })), resets),
    }),
  };
}

/**
 * Generation: every recurrence goes on from the state that it left at the last call, so memory does not grow with the
 * text. The tokens at hand may be a whole prompt or one token.
 */
export class CarriedContexts implements ContextSource {
  private readonly states = new Map<string, Tensor>();

  forLayer(index: number): LayerContext {
    let numCalls = 0;
    return {
      recurrence: (op, inputs, meanwhile) => {
        meanwhile?.();
        return this.step(`${index}.${numCalls++}`, op, inputs);
      },
      ...shortRange((...call) => this.follow(`${index}.${numCalls++}`, ...call), null),
    };
  }

  get tensors(): readonly Tensor[] {
    return [...this.states.values()];
  }

  /** Bytes of all states. */
  get bytes(): number {
    return [...this.states.values()].reduce((sum, state) => sum + state.bytes, 0);
  }

  release(): void {
    for (const state of this.states.values()) state.release();
    this.states.clear();
  }

  private step<I extends RecurrenceInputs>(key: string, op: RecurrenceOp<I>, inputs: I): Tensor {
    const { output, finalState } = runRecurrence(op, inputs, {
      resets: null,
      h0: this.states.get(key) ?? null,
    });
    this.keep(key, finalState);
    return output;
  }

  /** An op that reads some tokens back: those of the last call come before those at hand. */
  private follow(key: string, ...[x, numRows, op]: Parameters<RunWithHalo>): Tensor {
    const halo = this.states.get(key) ?? null;
    const output = op({ x, halo });
    if (numRows > 0) {
      this.keep(key, sequenceTail(forwardCall(x.device), { x, halo, resets: null }, numRows));
    }
    return output;
  }

  private keep(key: string, state: Tensor): void {
    const before = this.states.get(key);
    this.states.set(key, state.retain());
    before?.release();
  }
}
