/** A kernel that may spill, up to so many bytes, or have such losses, and why little is lost by it. */
export interface AllowedSpill {
  /** Below packages/kernels/src. */
  readonly file: string;
  /** With its template's arguments, or without: every one of them. */
  readonly kernel: string;
  /** Every one where it is not given. */
  readonly architecture?: string;
  readonly bytes: number;
  /** Codes of the compiler's remarks, as C7514. */
  readonly losses?: readonly string[];
  readonly reason: string;
}

const ampere = 'registers are shared out for Hopper; what this costs on Ampere was not measured';

export const allowedSpills: readonly AllowedSpill[] = [
  {
    ...{
      file: 'ops/gated-linear/sweep/scalar.cu',
      kernel: 'sweepKernel<256, 64, (SweepDecay)0, false>',
    },
    ...{ architecture: 'sm_90a', bytes: 64 },
    reason: 'linear attention with 256 key channels, whose state takes most registers; cost not measured',
  },
  {
    ...{ file: 'ops/gated-linear/general/tokens.cu', kernel: 'tokensKernel', bytes: 32 },
    reason: 'token by token, for f32 and for what the chunk kernels do not offer',
  },
  {
    ...{ file: 'ops/gated-linear/diagonal/prepare.cu', kernel: 'prepareKernel<true>' },
    ...{ architecture: 'sm_90a', bytes: 24 },
    reason: 'a bonus: six registers, once for each panel of 64 channels; four blocks share a multiprocessor',
  },
  {
    ...{ file: 'ops/lti-scan/cuda_sweep.cu', kernel: 'sweepKernel', bytes: 8 },
    reason: 'one register; cost not measured',
  },
  {
    ...{ file: 'ops/rms-norm/cuda.cu', kernel: 'backwardKernel<RowLayout<float, 4, 8>, true>' },
    ...{ architecture: 'sm_90a', bytes: 8 },
    reason: 'two registers of f32 rows; training is in bf16',
  },
  {
    ...{ file: 'ops/gated-norm/cuda.cu', kernel: 'backwardKernel<RowLayout<float, 4, 8>, true>' },
    ...{ architecture: 'sm_90a', bytes: 4 },
    reason: 'one register of f32 rows; training is in bf16',
  },
  {
    ...{ file: 'ops/sequence-tail/cuda.cu', kernel: 'elementKernel<AddTail<__nv_bfloat16> >', bytes: 16 },
    reason: 'moves the few tokens of a halo; cost not measured',
  },
  {
    ...{ file: 'ops/mlstm/cuda_gradient.cu', kernel: 'gradientKernel', bytes: 64 },
    reason: 'the sums of one chunk; cost not measured',
  },
  {
    ...{ file: 'ops/delta-rule/dplr/prepare.cu', kernel: 'dplrPrepareKernel<64>', bytes: 64 },
    reason: 'two blocks share a multiprocessor; cost not measured',
  },
  {
    ...{
      file: 'ops/delta-rule/dplr/gradient.cu',
      kernel: 'dplrGradientKernel<DplrGradientKind<64, false, false> >',
    },
    bytes: 792,
    reason: 'RWKV-7; with 432 bytes, products in two copies, the kernel took a fifth longer',
  },
  {
    ...{ file: 'ops/delta-rule/dplr/gradient.cu', kernel: 'dplrGradientKernel', bytes: 500 },
    reason: 'a thread has four sums and the decays of 16 channels and 64 tokens; cost not measured',
  },
  {
    ...{ file: 'ops/delta-rule/diagonal/gradient.cu', kernel: 'diagonalGradientKernel' },
    ...{ architecture: 'sm_90a', bytes: 12 },
    reason: 'what a piece meets, once a chunk; asked again instead, 131,072 tokens took a tenth longer',
  },
  {
    ...{ file: 'ops/delta-rule/diagonal/gradient.cu', kernel: 'leftGradientKernel' },
    ...{ architecture: 'sm_90a', bytes: 60 },
    reason: 'chunks with document starts or that decay far; of which chunk it is, the launch knows nothing',
  },
  ...[
    ['ops/gated-linear/sweep/scalar.cu', 'sweepKernel', 288],
    ['ops/gated-linear/sweep/contracted.cu', 'sweepKernel', 136],
    ['ops/delta-rule/sweep/sweep.cu', 'sweepKernel', 152],
    ['ops/rms-norm/cuda.cu', 'forwardKernel<RowLayout<__nv_bfloat16, 8, 1>, true>', 46],
    ['ops/transition/cuda.cu', 'denseKernel', 16],
  ].map(
    ([file, kernel, bytes]) =>
      ({ file, kernel, architecture: 'sm_80', bytes, reason: ampere }) as AllowedSpill,
  ),
];
