import type { Device } from '../device.js';
import type { RecurrenceInputs, RecurrenceOp } from '../recurrence-op.js';
import { bidirectionalReference } from './bidirectional-reference.js';
import { checkOp, type OpCheck } from './check-op.js';
import { checkOpOnGpu } from './check-op-on-gpu.js';
import {
  commonOf,
  hostInputs,
  learnedInputs,
  type RecurrenceCheck,
  sizesOf,
  tensorInputs,
} from './recurrence-problem.js';

/**
 * What a recurrence offers to runs in both directions, against its definition: what a token reads of itself, and, where
 * order does not matter, all tokens at once. Gradients as in `checkOp`.
 */
export async function checkBothWays<I extends RecurrenceInputs>(check: RecurrenceCheck<I>): Promise<void> {
  for (const one of bothWays(check)) await checkOp(one);
}

/** The same of the CUDA kernels, as in `checkOpOnGpu`. */
export async function checkBothWaysOnGpu<I extends RecurrenceInputs>(
  device: Device,
  check: RecurrenceCheck<I>,
): Promise<void> {
  for (const one of bothWays(check)) await checkOpOnGpu(device, one);
}

function bothWays<I extends RecurrenceInputs>(check: RecurrenceCheck<I>): OpCheck<string>[] {
  const { op } = check;
  const { B, T } = sizesOf(check);
  const common = { ...commonOf(check), inputs: learnedInputs(check) };
  const { ownReads, unordered } = op;
  const checks: OpCheck<string>[] = [];
  if (ownReads !== undefined) {
    checks.push({
      ...common,
      name: `${check.name}, of itself`,
      op: (tensors, device) => [ownReads(tensorInputs(check, tensors, device))],
      reference: (values) => [
        op.reference(hostInputs(check, values), new Int32Array(B * T).fill(1), null).output,
      ],
    });
  }
  if (unordered !== undefined) {
    checks.push({
      ...common,
      name: `${check.name}, in any order`,
      op: (tensors, device) => {
        const inputs = tensorInputs(check, tensors, device);
        return [unordered.read(inputs, unordered.write(inputs))];
      },
      reference: (values) => {
        const inputs = hostInputs(check, values);
        return [bidirectionalReference(op as unknown as RecurrenceOp, inputs, null, [B, T])];
      },
    });
  }
  return checks;
}
