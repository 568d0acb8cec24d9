import type { DType, Tensor } from './tensor.js';

/** The types of an op's inputs by name: what its gradients are to be. */
export type TypesOf<N extends string> = Readonly<Record<N, DType>>;

export function typesOf<N extends string>(inputs: Readonly<Record<N, Tensor>>): TypesOf<N> {
  const entries = Object.entries<Tensor>(inputs).map(([name, { dtype }]) => [name, dtype]);
  return Object.fromEntries(entries) as TypesOf<N>;
}

/** The type of what is made of two, element by element: of bf16 and f32 f32. Other types do not mix: natively refused. */
export function promotedType(a: DType, b: DType): DType {
  return a === 'bf16' && b === 'f32' ? b : a;
}
