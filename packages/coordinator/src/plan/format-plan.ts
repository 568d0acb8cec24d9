import type { Plan } from '@longscan/worker/protocol';
import { formatBytes, formatCount, formatSeconds, formatTable } from '../format.js';

/** A plan for people: what `longscan plan` prints. */
export function formatPlan(plan: Plan): string {
  return [
    formatTable([...shapeRows(plan), ...rankRows(plan)]),
    '',
    formatTable(strategyRows(plan), '<>>>'),
    ...plan.notes.map((note) => `\nnote: ${note}`),
  ].join('\n');
}

function shapeRows({ jobSpec, mesh, slices, sequencesPerRank, paddedLength }: Plan): string[][] {
  const [slice] = slices;
  return [
    ['job', jobSpec.job.name],
    [
      'model',
      `${describeLayers(jobSpec.model.layers.map((layer) => layer.use))}, width ${jobSpec.model.dModel}`,
    ],
    ['ranks', `sp ${mesh.sp} x dp ${mesh.dp} = ${mesh.numRanks}`],
    ['sequence', `${paddedLength} tokens in ${slices.length} slices of ${slice?.length}`],
    ['each rank', `${sequencesPerRank} sequences a step`],
  ];
}

function rankRows({ perRank }: Plan): string[][] {
  return [
    ['parameters', `${formatCount(perRank.numParameters)} (${formatBytes(perRank.parameterBytes)})`],
    ['gradients', formatBytes(perRank.gradientBytes)],
    ['optimizer', formatBytes(perRank.optimizerBytes)],
    ['activations', formatBytes(perRank.activationBytes)],
    ['states', formatBytes(perRank.stateBytes)],
    ['peak memory', formatBytes(perRank.peakBytes)],
    ['arithmetic', `${formatCount(perRank.flopsPerStep)} FLOP a step`],
  ];
}

function strategyRows({ modelled, strategy, blocks }: Plan): string[][] {
  const rows = modelled.map((row) => [
    row.strategy,
    formatSeconds(row.seconds),
    formatBytes(Math.max(...row.bytesSentByRank)),
    formatBytes(Math.min(...row.bytesSentByRank)),
    row.strategy === strategy ? `runs, ${blocks} ${blocks === 1 ? 'block' : 'blocks'}` : '',
  ]);
  return [['strategy', 'a step (modelled)', 'sent, most', 'sent, least', ''], ...rows];
}

/** `2 x (gla, lightning)` for a repeated pattern, the names otherwise. */
function describeLayers(names: readonly string[]): string {
  for (let length = 1; length <= names.length / 2; length++) {
    if (names.length % length !== 0 || names.some((name, i) => name !== names[i % length])) continue;
    const pattern = names.slice(0, length).join(', ');
    return `${names.length / length} x ${length === 1 ? pattern : `(${pattern})`}`;
  }
  return names.join(', ');
}
