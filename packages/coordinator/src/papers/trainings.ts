import type { JobInput } from '../spec/index.js';
import { modelTable, paperValue, type Reproduction } from './cells.js';
import { lasp2WeakScaling, zecoThroughput } from './paper-points.js';
import { a100, costsOf, h100, solve, stepOf } from './training-model.js';
import { zecoFabric } from './zeco-collectives.js';

/** flash-linear-attention's GLA 1.3B: the paper does not tell its own sizes. */
const gla1b: JobInput = {
  model: {
    ...{ dModel: 2048, numLayers: 24, numHeads: 4, vocabSize: 32000, mlp: 5632, tieEmbeddings: false },
    layers: { use: 'gla', expandK: 0.5 },
    precision: 'bf16',
  },
  data: { path: 'none' },
};

const linearLlama1b: JobInput = {
  model: {
    ...{ dModel: 2048, numLayers: 16, numHeads: 16, vocabSize: 32000, mlp: 8192, tieEmbeddings: false },
    layers: ['linear-attention'],
    precision: 'bf16',
  },
  data: { path: 'none' },
};

/** One number for compute, from data parallel on 8 GPUs; the links are those of the collectives' table. */
export async function reproduceThroughput(sizes: readonly number[] = []): Promise<Reproduction> {
  const fabric = zecoFabric();
  const tokensPerRank = 32 * 1024;
  const training = (strategy: string | null, numRanks: number) =>
    stepOf({ job: gla1b, tokensPerRank, numRanks, strategy }, fabric);
  const fitted = await training(null, 8);
  const seconds = tokensPerRank / paperValue(zecoThroughput, 'DP', 8);
  const slowness = solve((x) => fitted(costsOf(h100, x)).seconds, seconds, [1, 2]);
  const modelled = await modelTable(zecoThroughput, sizes, {
    fitted: ['DP 8'],
    at: async ({ strategy }, numRanks) => {
      const step = await training(strategy, numRanks);
      return tokensPerRank / step(costsOf(h100, slowness)).seconds;
    },
  });
  return {
    ...modelled,
    assumptions: [
      `1 number fitted to 1 cell: an op takes ${slowness.toPrecision(3)} times what an H100's data sheet allows (DP, 8)`,
      'links: those fitted to the collectives; no other cell of this table',
      'assumed: GLA as in flash-linear-attention (1.37 B parameters), states in f32, gradients in f32 summed after the backward pass',
      "LASP-1 is this code's ring, which lets each slice calculate while states are under way; the released LASP-1 holds back whole layers",
    ],
  };
}

/** One number for compute, from 16 GPUs, and one for what a step of a collective takes, from 128. */
export async function reproduceWeakScaling(sizes: readonly number[] = []): Promise<Reproduction> {
  const tokensPerRank = 16 * 1024;
  const links = { name: "LASP-2's links, latency fitted", gapS: 5e-6, bandwidthBytesPerS: 23e9 };
  const at = (numRanks: number) =>
    stepOf(
      { job: linearLlama1b, tokensPerRank, numRanks, strategy: 'all-gather' },
      { ...links, latencyS: 1e-5 },
    );
  const [few, many] = [await at(16), await at(128)];
  const secondsAt = (numRanks: number) => tokensPerRank / paperValue(lasp2WeakScaling, 'LASP-2', numRanks);
  const slownessFor = (latencyS: number) =>
    solve((x) => few(costsOf(a100, x), { ...links, latencyS }).seconds, secondsAt(16), [1, 2]);
  const latencyS = solve(
    (latency) => many(costsOf(a100, slownessFor(latency)), { ...links, latencyS: latency }).seconds,
    secondsAt(128),
    [1e-4, 2e-4],
  );
  const slowness = slownessFor(latencyS);
  const modelled = await modelTable(lasp2WeakScaling, sizes, {
    fitted: ['LASP-2 16', 'LASP-2 128'],
    at: async (_, numRanks) => {
      const step = await at(numRanks);
      return tokensPerRank / step(costsOf(a100, slowness), { ...links, latencyS }).seconds;
    },
  });
  return {
    ...modelled,
    assumptions: [
      `2 numbers fitted to 2 cells: an op takes ${slowness.toPrecision(3)} times what an A100's data sheet allows (16), and one step of a collective ${(1e6 * latencyS).toPrecision(3)} µs (128), which stands for all that grows with the GPUs, stragglers among them`,
      'assumed: 23 GB/s a GPU (200 Gb/s adapters), states in f32, gradients in f32 summed after the backward pass',
    ],
  };
}
