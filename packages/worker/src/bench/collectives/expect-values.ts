import { LongscanError, type Tensor } from '@longscan/kernels';

/**
 * Compares what came out of a collective with what had to, behind all that is enqueued on its stream.
 * @param tolerance Relative; 0 where the arithmetic is exact.
 * @throws LongscanError E-BENCH-DATA: time that gives wrong values is not worth a row
 */
export async function expectValues(
  where: string,
  tensor: Tensor,
  stream: Parameters<Tensor['read']>[0],
  expected: Float32Array,
  tolerance = 0,
): Promise<void> {
  const found = (await tensor.read(stream)) as Float32Array;
  const index = firstDifference(found, expected, tolerance);
  if (index === null) return;
  const isLength = index === Math.min(found.length, expected.length);
  throw new LongscanError({
    code: 'E-BENCH-DATA',
    where,
    found: isLength ? `${found.length} values` : `element ${index} is ${found[index]}`,
    expected: isLength ? `${expected.length}` : `${expected[index]}`,
    exitCode: 1,
    fix: 'report this: a collective of longscan gave a wrong result',
  });
}

/** The first place where they differ, also in length; null: none. */
export function firstDifference(
  found: Float32Array,
  expected: Float32Array,
  tolerance: number,
): number | null {
  // As a rule every bit is the same, and comparing bytes takes a fraction of the time.
  if (asBytes(found).equals(asBytes(expected))) return null;
  const length = Math.min(found.length, expected.length);
  for (let i = 0; i < length; i++) {
    const [a, b] = [found[i]!, expected[i]!];
    if (!(a === b || Math.abs(a - b) <= tolerance * Math.abs(b))) return i;
  }
  return found.length === expected.length ? null : length;
}

function asBytes(values: Float32Array): Buffer {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength);
}
