/** Blocks of threads that keep a GPU busy, threads of each, tokens that they stage, those that are worth a segment. */
const [wantedBlocks, blockThreads, stageTokens, fewestTokens] = [4 * 132, 128, 16, 256];

/**
 * How many states of a batch row kernels for GPUs keep from the forward to the backward pass, of T tokens and C channels with
 * N numbers each: one before each segment of `LtiPlan` in cuda_plan.h. It is allocated by this, and they take no other size.
 */
export function statesOnGpu(B: number, T: number, C: number, N: number): number {
  const perLane = N > 1 ? 8 : 1;
  const lanes = 2 ** Math.max(0, Math.ceil(Math.log2(N / perLane)));
  const channelBlocks = Math.ceil(C / (blockThreads / lanes));
  const segments = Math.floor(wantedBlocks / (B * channelBlocks));
  const tokens = Math.max(segments > 1 ? Math.ceil(T / segments) : T, fewestTokens);
  return Math.ceil(T / (stageTokens * Math.ceil(tokens / stageTokens)));
}
