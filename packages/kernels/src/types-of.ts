import { LongscanError } from './errors.js';
import type { DType, Tensor } from './tensor.js';

/** Types of an op's tensors by name: what its outputs and gradients are to be. */
export type TypesOf<N extends string> = Readonly<Record<N, DType>>;

export function typesOf<N extends string>(inputs: Readonly<Record<N, Tensor>>): TypesOf<N> {
  const entries = Object.entries<Tensor>(inputs).map(([name, { dtype }]) => [name, dtype]);
  return Object.fromEntries(entries) as TypesOf<N>;
}

/** The type of what is made of two, element by element: of bf16 and f32 f32. Other types do not mix: natively refused. */
export function promotedType({ a, b }: { readonly a: Tensor; readonly b: Tensor }): DType {
  return a.dtype === 'bf16' && b.dtype === 'f32' ? b.dtype : a.dtype;
}

/**
 * What log decays, gates, steps, states and sums are held in beside data of this type: f32 beside bf16, else the type
 * itself.
 */
export function wideType(dtype: DType): DType {
  return dtype === 'bf16' ? 'f32' : dtype;
}

/** Throws E-DTYPE unless each of the tensors that are there has this type. */
export function expectTypes(
  op: string,
  tensors: Readonly<Record<string, Tensor | null | undefined>>,
  dtype: DType,
): void {
  for (const [name, tensor] of Object.entries(tensors)) {
    if (!tensor || tensor.dtype === dtype) continue;
    throw new LongscanError({
      code: 'E-DTYPE',
      where: op,
      found: `${name} is ${tensor.dtype}`,
      expected: dtype,
      fix: `cast ${name} to that type`,
    });
  }
}
