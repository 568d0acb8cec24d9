import { importUnits } from '../conformance/unit-files.js';
import { jobSpecSchema } from '../protocol/job-spec.js';
import type { Strategy } from '../strategy.js';
import { textOf } from '../testing/documents.js';
import { packedBatch, withRanks } from '../testing/train-on-documents.js';
import { trainStep } from './train-step.js';

// Memory of a training step by strategy and number of ranks, at as many tokens on every rank:
// `node packages/worker/dist/training/memory.bench.js [TOKENS]`. Ranks are in this process, one device each. Prints a Markdown
// table of the highest number of bytes in use on any rank, as the devices' allocators count them, parameters included.

const worldSizes = [1, 2, 4, 8];
const tokensPerRank = Number(process.argv[2] ?? 256);
const layers = ['gla', 'gated-deltanet'];

const spec = jobSpecSchema.parse({
  model: {
    ...{ dModel: 512, numLayers: 2, numHeads: 4, vocabSize: 40, mlp: 512 },
    layers: layers.map((use) => ({ use, options: {}, file: null })),
  },
  data: { path: 'unused', sequenceLength: tokensPerRank },
});

async function peakBytes(strategy: string, numRanks: number): Promise<number> {
  const numTokens = numRanks * tokensPerRank;
  const text = textOf([numTokens + 1]);
  const lengths = Array.from({ length: numRanks }, () => tokensPerRank);
  return withRanks(spec, { lengths, strategy, dtype: 'f32' }, async (ranks, sliceOf) => {
    const batches = ranks.map((_, rank) =>
      packedBatch(text, [{ start: 0, numTokens }], sliceOf(rank), numTokens),
    );
    for (const { device } of ranks) device.memory({ resetPeak: true });
    await Promise.all(
      ranks.map((training, rank) =>
        trainStep(training, [batches[rank]!], 1, 1e-3, { stop: false, save: false }),
      ),
    );
    return Math.max(...ranks.map(({ device }) => device.memory().peakBytes));
  });
}

const strategies = await importUnits<Strategy>(new URL('../sp/', import.meta.url));
console.log(
  `${layers.join(' and ')}, ${tokensPerRank} tokens a rank; MiB at the peak of a step, by number of ranks\n`,
);
console.log(`| strategy | ${worldSizes.join(' | ')} |`);
console.log(`| --- |${' ---: |'.repeat(worldSizes.length)}`);
for (const name of strategies.keys()) {
  const cells: string[] = [];
  for (const numRanks of worldSizes) {
    const bytes = await peakBytes(name, numRanks);
    cells.push((bytes / 2 ** 20).toFixed(3));
  }
  console.log(`| ${name} | ${cells.join(' | ')} |`);
}
