import type { Tensor } from '@longscan/kernels';
import type { SequenceAttentionInputs, SequenceAttentionOptions } from './sequence/attend-alone.js';
import type { Received } from './sequence/received.js';
import type { SliceGroup, SliceRange } from './sequence/slice-group.js';
import type { LinkCost } from './strategy.js';

/** One call of softmax attention for the sequences of a rank. */
export interface AttentionCall {
  /** B */
  readonly numSequences: number;
  /** H, of queries. */
  readonly numHeads: number;
  /** G, of keys and values. */
  readonly numKeyHeads: number;
  /** K */
  readonly keySize: number;
  /** V */
  readonly valueSize: number;
  /** Tokens that a query sees at most; null: all of its document. */
  readonly window: number | null;
  /** Of earlier chunks of so many tokens only the last token is seen; null: every token. */
  readonly chunk: number | null;
}

/** How sequences lie on ranks, as far as bytes depend on it. */
export interface AttentionLayout {
  /** Of every rank, in rank order. */
  readonly slices: readonly SliceRange[];
  /** Documents are packed: where a query goes, its position goes too. */
  readonly packed: boolean;
  /** Segments that a rank holds, in deterministic mode; null: another mode. */
  readonly units: number | null;
  /** Of a number in queries, keys and values. */
  readonly elementBytes: number;
}

/** Of one call, nothing overlapped. */
export interface AttentionCost {
  /** What travels takes so long, forward and backward. */
  readonly seconds: number;
  /** By rank. */
  readonly bytesSentForward: readonly number[];
  readonly bytesSentBackward: readonly number[];
}

/** Where the tokens of a strategy's call stand. */
export interface PlaceOnRanks {
  readonly group: SliceGroup;
  /** i32 [B, T] within the document; null: every sequence is one document. */
  readonly positions: Tensor | null;
  readonly received?: Received;
}

/**
 * A way to run softmax attention over a sequence whose slices lie on ranks. It knows queries, keys and values, and nothing
 * of layers or models. One file in `attention-strategies/` with this as its default export.
 */
export interface AttentionStrategy {
  readonly name: string;
  /** URL of where it was described. */
  readonly paper: string;
  /** Deterministic mode has a form of it that attends unit by unit. */
  readonly keepsUnits?: true;
  /** What of a call it cannot divide over `numRanks`, in words; null: nothing. Left out: it takes every call. */
  refusal?(call: Pick<AttentionCall, 'numHeads' | 'numKeyHeads'>, numRanks: number): string | null;
  cost(call: AttentionCall, layout: AttentionLayout, link: LinkCost): AttentionCost;
  /**
   * Output [B, T, H, V] of this rank's queries. Only enqueues. Everything from other ranks passes through `place.received`,
   * so that a replay communicates nothing until its backward pass.
   */
  attend(inputs: SequenceAttentionInputs, options: SequenceAttentionOptions, place: PlaceOnRanks): Tensor;
}

export function defineAttentionStrategy(strategy: AttentionStrategy): AttentionStrategy {
  return strategy;
}

/** Bytes of one token of all sequences of a rank. */
export interface TokenBytes {
  readonly q: number;
  readonly kv: number;
  readonly o: number;
  /** None where every sequence is one document. */
  readonly positions: number;
}

export function tokenBytes(call: AttentionCall, { packed, elementBytes }: AttentionLayout): TokenBytes {
  const { numSequences: B, numHeads: H, numKeyHeads: G, keySize: K, valueSize: V } = call;
  return {
    q: elementBytes * B * H * K,
    kv: elementBytes * B * G * (K + V),
    o: elementBytes * B * H * V,
    positions: packed ? 4 * B : 0,
  };
}
