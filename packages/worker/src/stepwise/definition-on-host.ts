import { fromArray, type HostTensor, openCpuDevice, type RecurrenceInputs } from '@longscan/kernels';
import type { StepDefinition } from './step-definition.js';

/**
 * The recurrence as its one-token function says it, in f64: the state stays in host memory and `step` sees one token at a
 * time, on a device of its own. Of the sweeps, reset handling, tapes and probes that this is compared with, nothing is
 * used here; `step` itself is the definition.
 */
export function evaluateOnHost<I extends RecurrenceInputs>(
  definition: StepDefinition<I>,
  inputs: { readonly [K in keyof I]: HostTensor | null },
  resets: Int32Array | null,
  h0: Float64Array | null,
): { readonly output: Float64Array; readonly finalState: Float64Array } {
  const entries = Object.entries<HostTensor | null>(inputs);
  const [B, T, H] = entries.find(([, input]) => input !== null)![1]!.shape as [number, number, number];
  const device = openCpuDevice();
  try {
    const whole = entries.map(([name, input]) => [
      name,
      input && fromArray(device, input.values, input.shape, 'f64'),
    ]);
    const shape = [B, H, ...definition.stateShape(Object.fromEntries(whole) as unknown as I)];
    let state = h0?.slice() ?? new Float64Array(shape.reduce((product, dim) => product * dim, 1));
    const stateSize = state.length / B;
    const outputs: Float64Array[] = [];
    for (let t = 0; t < T; t++) {
      for (let b = 0; b < B; b++) {
        if (resets?.[b * T + t]) state.fill(0, b * stateSize, (b + 1) * stateSize);
      }
      device.scope(() => {
        const token = entries.map(([name, input]) => [
          name,
          input && fromArray(device, tokenOf(input, t), [B, H, ...input.shape.slice(3)], 'f64'),
        ]);
        const next = definition.step(
          fromArray(device, state, shape, 'f64'),
          Object.fromEntries(token) as unknown as I,
        );
        outputs.push(Float64Array.from(next.output.readBlocking()));
        state = Float64Array.from(next.state.readBlocking());
      });
    }
    return { output: batchFirst(outputs, B), finalState: state };
  } finally {
    device.close();
  }
}

/** Token t of values [B, T, …]: [B, …]. */
function tokenOf({ values, shape }: HostTensor, t: number): Float64Array {
  const [B, T] = shape as [number, number];
  const width = values.length / (B * T);
  const token = new Float64Array(B * width);
  for (let b = 0; b < B; b++) {
    token.set(values.subarray((b * T + t) * width, (b * T + t + 1) * width), b * width);
  }
  return token;
}

/** T times [B, …] to [B, T, …]. */
function batchFirst(tokens: readonly Float64Array[], B: number): Float64Array {
  const width = tokens[0]!.length / B;
  const all = new Float64Array(B * tokens.length * width);
  tokens.forEach((token, t) => {
    for (let b = 0; b < B; b++) {
      all.set(token.subarray(b * width, (b + 1) * width), (b * tokens.length + t) * width);
    }
  });
  return all;
}
