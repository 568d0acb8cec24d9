import {
  forwardCall,
  type RecurrenceGradients,
  type RecurrenceInputs,
  type RecurrenceOp,
  type SegmentSummary,
  type Tensor,
  type TokenUnits,
} from '@longscan/kernels';
import { stateAfter, withUnits } from '../state/segment.js';
import type { Direction, PendingState } from '../strategy.js';
import { refuseUnits } from '../strategy-support.js';
import type { Received } from './received.js';
import { recordRecurrence } from './record-recurrence.js';
import type { SequenceGroup } from './sequence-group.js';

export interface UnitRecurrenceOptions {
  readonly units: TokenUnits;
  readonly group: SequenceGroup | null;
  readonly resets: Tensor | null;
  readonly received: Received;
  readonly meanwhile?: (() => void) | undefined;
}

/**
 * A recurrence in deterministic mode: its op runs unit by unit, and states are folded from unit to unit in the order of
 * the sequence, inside a rank as between ranks. Segments are never composed, since that would add in another order.
 * @throws LongscanError E-STRATEGY under a strategy that composes them
 */
export function recurrenceByUnit<I extends RecurrenceInputs>(
  op: RecurrenceOp<I>,
  inputs: I,
  { units, group, resets, received, meanwhile }: UnitRecurrenceOptions,
): Tensor {
  const tensors = Object.values(inputs).filter((tensor) => tensor !== null);
  const { device } = tensors[0]!;
  const base = forwardCall(device);
  /** Runs one part of the op for every unit, with allocations that lie side by side. */
  const forEach = <R>(run: (call: typeof base, unit: number) => R): R[] =>
    device.withoutUnits(() => units.calls(base).map(run));
  const starts = units.map((unit) => units.pieceOrWhole(resets, unit));
  const pieces = cutInputs(units, inputs);

  const prepared = forEach((call, u) => op.prepare(call, pieces[u]!, starts[u]!));
  const segments = forEach((call, u) => op.summarize(call, pieces[u]!, starts[u]!, prepared[u]!));
  const pending = received.isReplay ? null : startScan(group, segments, 'forward');
  meanwhile?.();
  const incoming = foldStates(
    segments,
    received.next(() => pending?.wait() ?? null),
  );
  const finished = forEach((call, u) => op.finish(call, pieces[u]!, starts[u]!, prepared[u]!, incoming[u]!));
  const output = units.joinTokens(finished.map((one) => one.output));

  recordRecurrence({
    ...{ name: op.name, inputs: tensors, output },
    saved: [
      ...pieces.flatMap((piece) => Object.values(piece)),
      ...starts,
      ...incoming,
      ...segments.flatMap(({ factor, rates = null, reset }) => [factor, rates, reset]),
      ...finished.flatMap(({ kept }) => Object.values(kept)),
    ],
    backward(gradient, flush) {
      const dO = units.map((unit) => units.piece(gradient, unit));
      const own = units.map((u) => {
        const record = { kept: finished[u]!.kept, incoming: incoming[u]! };
        return [pieces[u]!, starts[u]!, record] as const;
      });
      const summarized = forEach((call, u) => op.summarizeBackward(call, ...own[u]!, segments[u]!, dO[u]!));
      const adjoints = [...summarized].reverse();
      const reverse = startScan(group, adjoints, 'reverse');
      const partial = forEach((call, u) => op.prepareBackward(call, ...own[u]!, dO[u]!, summarized[u]!));
      flush();
      const outgoing = foldStates(adjoints, reverse?.wait() ?? null).reverse();
      const results = forEach((call, u) =>
        op.finishBackward(call, ...own[u]!, partial[u]!, dO[u]!, outgoing[u]!, false),
      );
      return gradientsByUnit(
        units,
        inputs,
        results.map(({ gradients }) => gradients),
      );
    },
  });
  return output;
}

/** Starts the scan over ranks of what their units do; null: this rank is alone. */
function startScan(
  group: SequenceGroup | null,
  segments: readonly SegmentSummary[],
  direction: Direction,
): PendingState | null {
  if (group === null) return null;
  const { strategy, communicator, options } = group;
  if (!strategy.keepsUnits) throw refuseUnits(strategy.name);
  return strategy.start(withUnits(segments), communicator, direction, options);
}

/** The state that enters each of the runs, in their order; null: nothing before it. */
function foldStates(segments: readonly SegmentSummary[], first: Tensor | null): (Tensor | null)[] {
  const states = [first];
  for (const segment of segments.slice(0, -1)) {
    const before = states.at(-1)!;
    states.push(before === null ? segment.state : stateAfter(segment, before));
  }
  return states;
}

/** The inputs of each unit. */
export function cutInputs<I extends RecurrenceInputs>(units: TokenUnits, inputs: I): I[] {
  return units.map((unit) => {
    const cut = Object.entries(inputs).map(([name, tensor]) => [name, units.pieceOrWhole(tensor, unit)]);
    return Object.fromEntries(cut) as I;
  });
}

/** The gradients of the inputs that are there, in order, from what each unit says of them. */
export function gradientsByUnit<I extends RecurrenceInputs>(
  units: TokenUnits,
  inputs: I,
  gradients: readonly RecurrenceGradients<I>['gradients'][],
): (Tensor | null)[] {
  return Object.entries(inputs).flatMap(([name, input]) => {
    if (input === null) return [];
    const found = gradients.map((one) => one[name as keyof I] ?? null).filter((one) => one !== null);
    return [found.length === 0 ? null : units.joinGradient(input, found)];
  });
}
