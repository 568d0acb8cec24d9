/**
 * Values that a benchmark sends: whole numbers so small that sums of them over any ranks are exact in f32, in any order. They
 * differ from rank to rank and have no period that a block or a rank's share would have.
 */
export function pattern(rank: number, i: number): number {
  return ((5 * i + 17 * rank) % 127) - 63;
}

/** `pattern` from element `begin` on. */
export function patternOf(rank: number, length: number, begin = 0): Float32Array {
  const values = new Float32Array(length);
  for (let i = 0; i < length; i++) values[i] = pattern(rank, begin + i);
  return values;
}

/** Its sum over `numRanks` ranks. */
export function summedPattern(numRanks: number, length: number, begin = 0): Float32Array {
  const values = new Float32Array(length);
  for (let i = 0; i < length; i++) {
    let sum = 0;
    for (let rank = 0; rank < numRanks; rank++) sum += pattern(rank, begin + i);
    values[i] = sum;
  }
  return values;
}
