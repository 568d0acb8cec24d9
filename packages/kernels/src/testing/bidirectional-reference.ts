import type { HostTensor, RecurrenceOp } from '../recurrence-op.js';

type HostInputs = Readonly<Record<string, HostTensor | null>>;

/**
 * A recurrence in both directions, by its definition: a run with time, one against it, and what each token reads of itself
 * counted once. Output [B, T, …]. `resets`: [B, T], 1 where a document starts; null: one document.
 */
export function bidirectionalReference(
  op: RecurrenceOp,
  inputs: HostInputs,
  resets: Int32Array | null,
  [B, T]: readonly [number, number],
): Float64Array {
  const turned = Object.entries(inputs).map(([name, input]) => {
    const isShared = input === null || op.shared?.includes(name);
    return [name, isShared ? input : { ...input, values: reversedTokens(input.values, B, T) }];
  });
  const ends = resets && reversedTokens(documentEnds(resets, T), B, T);
  const forward = op.reference(inputs, resets, null).output;
  const reverse = op.reference(Object.fromEntries(turned) as HostInputs, ends, null).output;
  const backInOrder = reversedTokens(reverse, B, T);
  const own = op.reference(inputs, new Int32Array(B * T).fill(1), null).output;
  return forward.map((value, i) => value + backInOrder[i]! - own[i]!);
}

/** [B, T], 1 where a document's last token stands, if another one follows: `resets` one token earlier. */
export function documentEnds(resets: Int32Array, T: number): Int32Array {
  return resets.map((_, i) => (i % T === T - 1 ? 0 : resets[i + 1]!));
}

/** values [B, T, …] with the tokens of every row in reverse order. */
export function reversedTokens<A extends Float64Array | Int32Array>(values: A, B: number, T: number): A {
  const width = values.length / (B * T);
  const reversed = values.slice() as A;
  for (let row = 0; row < B * T; row++) {
    const source = row - (row % T) + T - 1 - (row % T);
    reversed.set(values.subarray(source * width, (source + 1) * width), row * width);
  }
  return reversed;
}
