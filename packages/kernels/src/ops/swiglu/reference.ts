/** The definition: `y[i] = gate[i] / (1 + e^-gate[i]) · up[i]`. */
export function swigluReference(inputs: { gate: Float64Array; up: Float64Array }): Float64Array[] {
  return [inputs.gate.map((g, i) => (g / (1 + Math.exp(-g))) * inputs.up[i]!)];
}
