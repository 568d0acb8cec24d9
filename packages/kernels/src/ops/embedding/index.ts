import { defineOp } from '../../autograd/define-op.js';
import { expectShape, type Tensor } from '../../tensor.js';
import './native.js';

interface EmbeddingInputs extends Record<string, Tensor> {
  /** [...], i32, each in [0, vocab) */
  readonly tokens: Tensor;
  /** [vocab, D] */
  readonly table: Tensor;
}

/**
 * The table's row of each token: [..., D]. An id outside of the table is a stream failure E-DATA-VOCAB that names it;
 * in a graph, whoever launches it answers for the ids.
 */
export const embedding: (inputs: EmbeddingInputs) => Tensor = (inputs) => embeddingOp(inputs, {});

const embeddingOp = defineOp<EmbeddingInputs>({
  name: 'embedding',
  forward(call, { tokens, table }) {
    expectShape('embedding', 'table', table, [-1, -1]);
    const output = call.empty([...tokens.shape, table.dim(1)], table.dtype);
    call.native.embeddingForward(call.stream, tokens.id, table.id, output.id);
    return { output, save: { tokens, table } };
  },
  backward(call, { tokens, table }, dy) {
    const dtable = call.weightGradient(table!, [tokens!, dy], (target, accumulate) => {
      call.native.embeddingGradient(call.stream, tokens!.id, dy.id, target.id, accumulate);
    });
    return { table: dtable };
  },
});
