/** The definition: `y[n, o] = Σ_i x[n, i] · weight[o, i] + bias[o]`, for weight `[numOut, numIn]`. */
export function linearReference(
  inputs: { x: Float64Array; weight: Float64Array; bias: Float64Array | null },
  numIn: number,
  numOut: number,
): Float64Array[] {
  const { x, weight, bias } = inputs;
  const y = new Float64Array((x.length / numIn) * numOut);
  for (let at = 0; at < y.length; at++) {
    const row = Math.floor(at / numOut);
    const out = at % numOut;
    let sum = bias?.[out] ?? 0;
    for (let i = 0; i < numIn; i++) sum += x[row * numIn + i]! * weight[out * numIn + i]!;
    y[at] = sum;
  }
  return [y];
}
