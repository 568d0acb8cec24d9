import {
  forwardCall,
  type RecurrenceInputs,
  type RecurrenceOp,
  type Tensor,
  wideType,
} from '@longscan/kernels';
import { refuseTransition } from '../strategy-support.js';
import { recordRecurrence } from './record-recurrence.js';
import { cutInputs, gradientsByUnit, type UnitRecurrenceOptions } from './unit-recurrence.js';

/**
 * A recurrence that is not affine in its state, in deterministic mode: unit after unit, inside a rank as from rank to rank.
 * @throws LongscanError E-STRATEGY under a strategy that is not a plain chain
 */
export function serialRecurrenceByUnit<I extends RecurrenceInputs>(
  op: RecurrenceOp<I>,
  inputs: I,
  { units, group, resets, received, meanwhile }: UnitRecurrenceOptions,
): Tensor {
  const serial = group?.strategy.serial;
  if (group !== null && serial === undefined) {
    throw refuseTransition(group.strategy.name, op.transition, op.name);
  }
  const tensors = Object.values(inputs).filter((tensor) => tensor !== null);
  const { device } = tensors[0]!;
  const dtype = wideType(tensors[0]!.dtype); // of states
  const pieces = cutInputs(units, inputs);
  const starts = units.map((unit) => units.pieceOrWhole(resets, unit));
  const shape = op.stateShape(pieces[0]!);
  meanwhile?.();
  const turn = group && serial!(group.communicator, 'forward');
  const incoming: (Tensor | null)[] = [received.next(() => turn?.receive(device, shape, dtype) ?? null)];
  const results = device.withoutUnits(() =>
    units.calls(forwardCall(device)).map((call, u) => {
      const result = op.forward(call, pieces[u]!, starts[u]!, incoming[u]!);
      incoming.push(result.finalState);
      return result;
    }),
  );
  if (!received.isReplay) turn?.handOn(incoming.at(-1)!);
  const output = units.joinTokens(results.map((one) => one.output));

  recordRecurrence({
    ...{ name: op.name, inputs: tensors, output },
    saved: [
      ...pieces.flatMap((piece) => Object.values(piece)),
      ...starts,
      ...incoming,
      ...results.flatMap(({ kept }) => Object.values(kept)),
    ],
    backward(gradient, flush) {
      const dO = units.map((unit) => units.piece(gradient, unit));
      const records = units.map((u) => ({ kept: results[u]!.kept, incoming: incoming[u]! }));
      const prepared = device.withoutUnits(() =>
        units
          .calls(forwardCall(device))
          .map((call, u) => op.prepareBackward(call, pieces[u]!, starts[u]!, records[u]!, dO[u]!)),
      );
      flush();
      const reverse = group && serial!(group.communicator, 'reverse');
      let adjoint = reverse?.receive(device, shape, dtype) ?? null;
      const calls = units.calls(forwardCall(device));
      const found = device.withoutUnits(() =>
        units.map((i) => {
          const u = units.count - 1 - i;
          const own = [pieces[u]!, starts[u]!, records[u]!, prepared[u]!, dO[u]!] as const;
          const result = op.finishBackward(calls[u]!, ...own, adjoint, true);
          adjoint = result.incoming;
          return result.gradients;
        }),
      );
      reverse?.handOn(adjoint!);
      return gradientsByUnit(units, inputs, found.reverse());
    },
  });
  return output;
}
