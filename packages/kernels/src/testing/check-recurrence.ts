import { runRecurrence } from '../autograd/run-recurrence.js';
import type { RecurrenceInputs } from '../recurrence-op.js';
import { fromArray } from '../tensor.js';
import { checkBothWays } from './check-both-ways.js';
import { checkOp } from './check-op.js';
import { checkSlices } from './check-slices.js';
import {
  commonOf,
  hostInputs,
  initialState,
  learnedInputs,
  type RecurrenceCheck,
  type RecurrenceInput,
  sizesOf,
  tensorInputs,
} from './recurrence-problem.js';

/**
 * What every recurrence passes: it equals its definition, and so do its gradients, whole (see `checkOp`), cut into
 * slices whose states pass through `applyTransition`, as between ranks, and in what runs in both directions take of it.
 */
export async function checkRecurrence<I extends RecurrenceInputs>(check: RecurrenceCheck<I>): Promise<void> {
  checkShared(check);
  await checkWhole(check);
  await checkSlices(check);
  // What it checks does not know how long a sequence is.
  if (sizesOf(check).T < 100) await checkBothWays(check);
}

/** What the op says of its inputs is what they are here. */
function checkShared<I extends RecurrenceInputs>({ name, op, inputs }: RecurrenceCheck<I>): void {
  for (const [key, input] of Object.entries<RecurrenceInput | null>(inputs)) {
    if (input === null || (input.role !== 'token') === (op.shared?.includes(key) ?? false)) continue;
    throw new Error(`${name}: 'shared' is wrong about ${key}, whose role is '${input.role}'`);
  }
}

function checkWhole<I extends RecurrenceInputs>(check: RecurrenceCheck<I>): Promise<void> {
  const { op, hasStateGradient = true } = check;
  const { B, T } = sizesOf(check);
  const resets = check.resets ?? null;
  return checkOp<string>({
    ...commonOf(check),
    inputs: { ...learnedInputs(check), h0: initialState(check) },
    op: (tensors, device) => {
      const { output, finalState } = runRecurrence(op, tensorInputs(check, tensors, device), {
        resets: resets && fromArray(device, resets, [B, T], 'i32'),
        h0: tensors.h0!,
      });
      return hasStateGradient ? [output, finalState] : [output];
    },
    reference: (values) => {
      const { output, finalState } = op.reference(hostInputs(check, values), resets, values.h0!);
      return hasStateGradient ? [output, finalState] : [output];
    },
  });
}
