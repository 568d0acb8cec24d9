/** The definition: `y[i] = a[i] + b[i]`. */
export function addReference(inputs: { a: Float64Array; b: Float64Array }): Float64Array[] {
  return [inputs.a.map((value, i) => value + inputs.b[i]!)];
}
