/** Options that make no sense, and what is said about them. */
export const refusedOptions = [
  ['gla', { gateRank: 0 }, 'error[E-CFG-RANGE] layer gla, gateRank: 0, expected a whole number >= 1'],
  ['gla', { gateRank: 2.5 }, 'error[E-CFG-RANGE] layer gla, gateRank: 2.5, expected a whole number >= 1'],
  ['gla', { gateNormalizer: 0 }, 'error[E-CFG-RANGE] layer gla, gateNormalizer: 0, expected a number > 0'],
  ['gla', { expandK: -1 }, 'error[E-SHAPE] layer gla: expandK × model.dModel / numHeads = -1 × 16 / 4 = -4'],
  [
    'gla',
    { numHeads: 0 },
    'error[E-SHAPE] layer gla: expandK × model.dModel / numHeads = 0.5 × 16 / 0 = Infinity',
  ],
  [
    'lightning',
    { expandV: 0.3 },
    'error[E-SHAPE] layer lightning: expandV × model.dModel / numHeads = 0.3 × 16 / 4',
  ],
  ['lightning', { normEps: 0 }, 'error[E-CFG-RANGE] layer lightning, normEps: 0, expected a number > 0'],
  ['linear-attention', { normalizerEps: -1 }, 'error[E-CFG-RANGE] layer linear-attention, normalizerEps: -1'],
  ['mamba', { stateSize: 0 }, 'error[E-CFG-RANGE] layer mamba, stateSize: 0, expected a whole number >= 1'],
  ['mamba', { expand: 0.3 }, 'error[E-SHAPE] layer mamba: expand × model.dModel / numHeads = 0.3 × 16 / 1'],
  ['mamba2', { numGroups: 3 }, 'error[E-CFG-RANGE] layer mamba2, numHeads / numGroups: 1.3333333333333333'],
] as const;
