import type { ForwardCall } from '../../autograd/define-op.js';
import type { Kept } from '../../recurrence-op.js';
import type { RecurrenceParts } from '../../recurrence-parts.js';
import type { Tensor } from '../../tensor.js';
import { columns, join } from '../columns/index.js';
import type { DeltaRuleInputs } from './inputs.js';

/** What each token has once, in rows of its own: its query in the last one, its decay and a document's start in the first. */
interface Spread extends Kept {
  readonly queryRows: Tensor;
  readonly gateRows: Tensor | null;
  readonly resetRows: Tensor | null;
}

/**
 * `numRows` rows a token by kernels that know one: T tokens are `numRows` · T rows of the recurrence, in which rows without a
 * query read nothing that anybody wants, and rows without a decay have log a = 0. Keys, values and β lie so already; the
 * rest is spread over rows, zeros between, and outputs are picked from the rows that have a query. Bits are those of the same
 * rows as tokens. Spread tensors live as long as a pass: between the passes they would be `numRows` times q.
 */
export function partsOfRows(
  numRows: number,
  single: RecurrenceParts<DeltaRuleInputs>,
): RecurrenceParts<DeltaRuleInputs> {
  const last = numRows - 1;

  /** [B, T, ..] to [B, numRows · T, ..]: row `at` of each token is the token's, others are zeros. */
  const spread = (call: ForwardCall, x: Tensor, at: number): Tensor => {
    const [B, T, ...rest] = x.shape as [number, number, ...number[]];
    const size = x.size / (B * T);
    const parts = Array.from({ length: numRows }, (_, row) => (row === at ? x.view([B * T, size]) : null));
    return join(call, parts, Array<number>(numRows).fill(size)).view([B, numRows * T, ...rest]);
  };
  /** Back: row `at` of each token. */
  const pick = (call: ForwardCall, x: Tensor, at: number): Tensor => {
    const [B, rows, ...rest] = x.shape as [number, number, ...number[]];
    const [T, size] = [rows / numRows, x.size / (B * rows)];
    return columns(call, x.view([B * T, numRows * size]), at * size, size).view([B, T, ...rest]);
  };
  const spreadOf = (call: ForwardCall, { q, g }: DeltaRuleInputs, resets: Tensor | null): Spread => ({
    queryRows: spread(call, q, last),
    gateRows: g && spread(call, g, 0),
    resetRows: resets && spread(call, resets, 0),
  });
  const asRows = <X extends Tensor | null>(x: X): X => {
    if (x === null) return x;
    const [B, T, , ...rest] = x.shape as [number, number, number, ...number[]];
    return x.view([B, numRows * T, ...rest]) as X;
  };
  const rowsOf = ({ k, v, beta, b, e }: DeltaRuleInputs, { queryRows: q, gateRows: g }: Spread) => ({
    ...{ q, k: asRows(k), v: asRows(v), g },
    ...{ beta: asRows(beta), b: asRows(b), e: asRows(e) },
  });
  const asTokens = (gradient: Tensor | null | undefined, of: Tensor | null) =>
    gradient && of && gradient.view(of.shape);

  return {
    forward(call, inputs, resets, h0) {
      const rows = spreadOf(call, inputs, resets);
      const result = single.forward(call, rowsOf(inputs, rows), rows.resetRows, h0);
      return { ...result, output: pick(call, result.output, last) };
    },
    prepare(call, inputs, resets) {
      const rows = spreadOf(call, inputs, resets);
      return { ...single.prepare(call, rowsOf(inputs, rows), rows.resetRows), ...rows };
    },
    summarize(call, inputs, _resets, prepared) {
      const rows = prepared as Spread;
      return single.summarize(call, rowsOf(inputs, rows), rows.resetRows, prepared);
    },
    finish(call, inputs, _resets, prepared, incoming) {
      const rows = prepared as Spread;
      const result = single.finish(call, rowsOf(inputs, rows), rows.resetRows, prepared, incoming);
      return { ...result, output: pick(call, result.output, last) };
    },
    summarizeBackward(call, inputs, resets, record, summary, outputGradient) {
      const rows = spreadOf(call, inputs, resets);
      const gradientRows = spread(call, outputGradient, last);
      const [rowInputs, { resetRows }] = [rowsOf(inputs, rows), rows];
      const result = single.summarizeBackward(call, rowInputs, resetRows, record, summary, gradientRows);
      return { ...result, kept: { ...result.kept, ...rows, gradientRows } };
    },
    prepareBackward(call, inputs, resets, record, outputGradient, summarized) {
      const known = summarized?.kept as (Spread & { readonly gradientRows: Tensor }) | undefined;
      const rows = known ?? spreadOf(call, inputs, resets);
      const gradientRows = known?.gradientRows ?? spread(call, outputGradient, last);
      const { queryRows, gateRows, resetRows } = rows;
      const rowInputs = rowsOf(inputs, rows);
      const prepared = single.prepareBackward(call, rowInputs, resetRows, record, gradientRows, summarized);
      return { ...prepared, queryRows, gateRows, resetRows, gradientRows };
    },
    finishBackward(call, inputs, _resets, record, prepared, _outputGradient, outgoingAdjoint, wantIncoming) {
      const { gradientRows, ...rows } = prepared as Spread & { readonly gradientRows: Tensor };
      const { gradients, incoming } = single.finishBackward(
        ...([call, rowsOf(inputs, rows), rows.resetRows, record, prepared, gradientRows] as const),
        outgoingAdjoint,
        wantIncoming,
      );
      const { q, k, v, beta, g, b, e } = gradients;
      return {
        gradients: {
          ...{ q: q && pick(call, q, last), g: g && pick(call, g, 0) },
          ...{ k: asTokens(k, inputs.k), v: asTokens(v, inputs.v), beta: asTokens(beta, inputs.beta) },
          ...{ b: asTokens(b, inputs.b), e: asTokens(e, inputs.e) },
        },
        incoming,
      };
    },
  };
}
