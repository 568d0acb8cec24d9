import {
  documentPositions,
  forwardCall,
  type RecurrenceInputs,
  type RecurrenceOp,
  runRecurrence,
  sequenceTail,
  type Tensor,
} from '@longscan/kernels';
import type { LayerContext } from '../layer.js';
import type { SequenceAttentionInputs, SequenceAttentionOptions } from '../sequence/attend-alone.js';
import { sequenceAttention } from '../sequence/attention.js';
import { carriedAttention } from '../sequence/carried-attention.js';
import { type CarriedCall, type Carry, refuseCarry } from '../sequence/carry.js';
import { withHalo } from '../sequence/halo.js';
import { positionsOf, sliceStart } from '../sequence/positions.js';
import { live, type Received } from '../sequence/received.js';
import { recurrence } from '../sequence/recurrence.js';
import { groupOfLayer, type ModelGroup, type SequenceGroup } from '../sequence/sequence-group.js';
import { attentionByUnit } from '../sequence/unit-attention.js';
import { shareAlone } from './shared-values.js';
import { type RunWithHalo, shortRange } from './short-range.js';

/** Gives each layer its context for one forward pass. */
export interface ContextSource {
  /** `received`: where the pass gets what other ranks send; default: from them. */
  forLayer(index: number, received?: Received): LayerContext;
  /** What its contexts read beside a layer's input. */
  readonly tensors: readonly Tensor[];
}

/**
 * Training and validation: this rank's slice of sequences that begin with an empty memory. `resets`: i32 [B, T], 1 where
 * a document starts; null: one document. `before`: i32 [B], for packed documents on several ranks the tokens that earlier
 * slices hold of the document that is open where this slice begins.
 */
export function sliceContexts(
  group: ModelGroup | null,
  resets: Tensor | null,
  before: Tensor | null = null,
): ContextSource {
  const positions = (x: Tensor) => positionsOf(x, group, { resets, before });
  return {
    tensors: [resets, before].filter((tensor) => tensor !== null),
    forLayer: (index, received = live) => ({
      ...lookingBack({ group: groupOfLayer(group, index), resets, received }, () => undefined),
      positions,
      attention: (inputs, options = {}) => {
        const place = { group, positions: resets && positions(inputs.q), received };
        const { units } = inputs.q.device;
        return units === null
          ? sequenceAttention(inputs, options, place)
          : attentionByUnit(units, inputs, options, place);
      },
    }),
  };
}

/**
 * Training on sequences that go on from those of the step before, with the memory that `carry` holds. `resets` and `before`
 * as in `sliceContexts`; `before` counts tokens of earlier steps too.
 */
export function carryingContexts(
  group: ModelGroup | null,
  resets: Tensor | null,
  before: Tensor | null,
  carry: Carry,
): ContextSource {
  return {
    tensors: [resets, before].filter((tensor) => tensor !== null),
    forLayer: (index, received = live) => ({
      ...lookingBack(
        { group: groupOfLayer(group, index), resets, received },
        carry.callsOf(index, received.isReplay),
      ),
      positions: (x) =>
        documentPositions(x.device, [x.dim(0), x.dim(1)], {
          resets,
          before: before ?? carry.tokensBefore + sliceStart(group),
        }),
      attention: () => {
        throw refuseCarry(index);
      },
    }),
  };
}

/** What of a context goes through states and halos. `nextCall`: what the call carries from step to step, if anything. */
function lookingBack(
  place: { group: SequenceGroup | null; resets: Tensor | null; received: Received },
  nextCall: () => CarriedCall | undefined,
): Omit<LayerContext, 'positions' | 'attention'> {
  return {
    share: shareAlone,
    recurrence: (op, inputs, meanwhile) =>
      recurrence(op, inputs, { ...place, carried: nextCall(), meanwhile }),
    ...shortRange(
      (x, numRows, op) => op(withHalo(x, numRows, { ...place, carried: nextCall() })),
      place.resets,
    ),
  };
}

/**
 * Generation: every recurrence goes on from the state that it left at the last call, so memory does not grow with the
 * text; only attention keeps the keys and values that it can still see. The tokens at hand may be a whole prompt or one
 * token.
 */
export class CarriedContexts implements ContextSource {
  private readonly states = new Map<string, Tensor>();
  /** Tokens that went through each layer. */
  private readonly numTokens = new Map<number, number>();

  forLayer(index: number): LayerContext {
    let numCalls = 0;
    const start = this.numTokens.get(index) ?? 0;
    const count = (x: Tensor) => this.numTokens.set(index, start + x.dim(1));
    return {
      share: shareAlone,
      recurrence: (op, inputs, meanwhile) => {
        meanwhile?.();
        return this.step(`${index}.${numCalls++}`, op, inputs);
      },
      ...shortRange((...call) => this.follow(`${index}.${numCalls++}`, ...call), null),
      positions: (x) => {
        count(x);
        return documentPositions(x.device, [x.dim(0), x.dim(1)], { resets: null, before: start });
      },
      attention: (inputs, options = {}) => {
        count(inputs.q);
        return this.attend(`${index}.${numCalls++}`, inputs, options, start);
      },
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
    this.numTokens.clear();
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

  private attend(
    key: string,
    inputs: SequenceAttentionInputs,
    options: SequenceAttentionOptions,
    start: number,
  ): Tensor {
    const [k, v] = [this.states.get(`${key}.k`), this.states.get(`${key}.v`)];
    const before = k && v ? { k, v } : null;
    const { output, cache } = carriedAttention(inputs, options, start, before);
    if (cache !== null) {
      this.keep(`${key}.k`, cache.k);
      this.keep(`${key}.v`, cache.v);
    }
    return output;
  }

  private keep(key: string, state: Tensor): void {
    const before = this.states.get(key);
    this.states.set(key, state.retain());
    before?.release();
  }
}
