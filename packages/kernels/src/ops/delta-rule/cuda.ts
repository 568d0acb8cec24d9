import type { ForwardCall } from '../../autograd/define-op.js';
import type { RecurrenceParts } from '../../recurrence-parts.js';
import type { Tensor } from '../../tensor.js';
import type { DeltaRuleInputs } from './index.js';
import type { DeltaRuleCudaArguments } from './native.js';

/** One kind of the recurrence. */
interface Kind {
  /** The number of its gate. */
  readonly code: number;
  /** The key erases, queries read keys, one step a token. */
  readonly isPlain: boolean;
  readonly scaleOf: (q: Tensor) => number;
  readonly stateShape: (inputs: DeltaRuleInputs) => readonly number[];
}

/** What the chunkwise kernels do of it: the slice from a state that is known. */
type ChunkwiseParts = Pick<RecurrenceParts<DeltaRuleInputs>, 'forward' | 'finish' | 'finishBackward'>;

/**
 * The recurrence on a GPU. Chunks on the tensor cores where they apply; elsewhere, and for what a slice does to a state,
 * `general`, token by token in f32: M of thousands of tokens is a product that bf16 does not hold.
 */
export function cudaParts(
  kind: Kind,
  general: RecurrenceParts<DeltaRuleInputs>,
): RecurrenceParts<DeltaRuleInputs> {
  const chunkwise = chunkwiseParts(kind);
  const partsFor = (inputs: DeltaRuleInputs): ChunkwiseParts =>
    isChunkwise(kind, inputs) ? chunkwise : general;
  return {
    ...general,
    forward: (call, inputs, ...rest) => partsFor(inputs).forward(call, inputs, ...rest),
    finish: (call, inputs, ...rest) => partsFor(inputs).finish(call, inputs, ...rest),
    finishBackward: (call, inputs, ...rest) => partsFor(inputs).finishBackward(call, inputs, ...rest),
  };
}

function isChunkwise({ isPlain }: Kind, { q, v }: DeltaRuleInputs): boolean {
  const isHeadSize = (size: number) => size % 8 === 0 && size <= 256;
  return isPlain && q.dtype === 'bf16' && isHeadSize(q.dim(3)) && isHeadSize(v.dim(-1));
}

/** Inputs in bf16, gates and states in f32, one sweep that keeps what its gradients need. */
function chunkwiseParts({ code, scaleOf, stateShape }: Kind): ChunkwiseParts {
  const common = (
    call: ForwardCall,
    inputs: DeltaRuleInputs,
    resets: Tensor | null,
  ): DeltaRuleCudaArguments => {
    const { q, k, v, beta, g } = inputs;
    const optional = [beta?.id ?? null, g?.id ?? null, resets?.id ?? null] as const;
    return [call.stream, code, scaleOf(q), q.id, k.id, v.id, ...optional];
  };
  /** FLOPs of `perToken` products with the K × V state and `intra` products inside a chunk of 64 tokens. */
  const count = (call: ForwardCall, { q, v }: DeltaRuleInputs, perToken: number, intra: number): void => {
    const [K, V] = [q.dim(3), v.dim(3)];
    call.device.flops += (v.size / V) * (2 * perToken * K * V + intra * 64 * (K + V));
  };

  const sweep = (
    call: ForwardCall,
    inputs: DeltaRuleInputs,
    resets: Tensor | null,
    h0: Tensor | null,
    finalState: Tensor | null,
  ) => {
    const slice = common(call, inputs, resets);
    const kept = call.empty([Math.ceil(call.native.deltaRuleCudaKeptBytes(...slice) / 4)]);
    const output = call.empty(inputs.v.shape, inputs.v.dtype);
    call.native.deltaRuleCudaForward(...slice, h0?.id ?? null, output.id, finalState?.id ?? null, kept.id);
    count(call, inputs, 3, 2);
    return { output, kept: { kept } };
  };

  return {
    forward(call, inputs, resets, h0) {
      const finalState = call.empty(stateShape(inputs));
      return { ...sweep(call, inputs, resets, h0, finalState), finalState };
    },
    finish: (call, inputs, resets, _prepared, incoming) => sweep(call, inputs, resets, incoming, null),
    finishBackward(call, inputs, resets, record, _prepared, outputGradient, outgoingAdjoint, wantIncoming) {
      const like = ({ shape, dtype }: Tensor) => call.empty(shape, dtype);
      const { q, k, v, beta, g } = inputs;
      const [dq, dk, dv] = [like(q), like(k), like(v)];
      const [dbeta, dg] = [beta && like(beta), g && like(g)];
      const incoming = wantIncoming ? call.empty(stateShape(inputs)) : null;
      call.native.deltaRuleCudaBackward(
        ...common(call, inputs, resets),
        outputGradient.id,
        record.kept.kept!.id,
        record.incoming?.id ?? null,
        outgoingAdjoint?.id ?? null,
        dq.id,
        dk.id,
        dv.id,
        dbeta?.id ?? null,
        dg?.id ?? null,
        incoming?.id ?? null,
      );
      count(call, inputs, 9, 8);
      return { gradients: { q: dq, k: dk, v: dv, beta: dbeta, g: dg }, incoming };
    },
  };
}
