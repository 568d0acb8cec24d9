import type { ModelledScans, ModelledStrategy, Plan } from '@longscan/worker/protocol';
import { describeChainLink, describeLink } from '../fabric/describe-link.js';
import { formatBytes, formatCount, formatSeconds, formatTable } from '../format.js';
import { describeLayerRange, describeScan } from './describe-scans.js';

/** A plan for people: what `longscan plan` prints. */
export function formatPlan(plan: Plan): string {
  return [
    formatTable([...shapeRows(plan), ...rankRows(plan)]),
    '',
    formatTable(strategyRows(plan), '<>>>'),
    ...plan.modelledScans.map((table) => scanTable(plan, table)),
    ...attentionTable(plan),
    ...plan.notes.map((note) => `\nnote: ${note}`),
  ].join('\n');
}

function shapeRows(plan: Plan): string[][] {
  const { jobSpec, mesh, slices, sequencesPerRank, paddedLength, ranksPerNode } = plan;
  const [slice] = slices;
  const nodes = ranksPerNode < mesh.sp ? `, ${ranksPerNode} a node` : '';
  return [
    ['job', jobSpec.job.name],
    [
      'model',
      `${describeLayers(jobSpec.model.layers.map((layer) => layer.use))}, width ${jobSpec.model.dModel}`,
    ],
    ['ranks', `sp ${mesh.sp} x dp ${mesh.dp} = ${mesh.numRanks}${nodes}`],
    ['sequence', `${paddedLength} tokens in ${slices.length} slices of ${slice?.length}`],
    ['each rank', `${sequencesPerRank} sequences a step`],
    ...linkRows(plan),
  ];
}

/** Nothing on one rank. */
function linkRows(plan: Plan): string[][] {
  const { fabric, mesh } = plan;
  if (fabric === undefined || mesh.numRanks === 1) return [];
  const between = fabric.nodes && `; between nodes ${describeLink(fabric.nodes.between)}`;
  return [['links', `${fabric.name}: ${describeLink(fabric)}${between ?? ''}`], ...chainRows(plan)];
}

/** Nothing where there is nothing but messages. */
function chainRows({ chains, fabric }: Plan): string[][] {
  if (chains === undefined) return [];
  if (chains.carrier === 'messages') return [['chains', `messages: ${chains.reason}`]];
  const link = fabric?.chains && `; ${describeChainLink(fabric.chains)}`;
  return [['chains', `mapped memory: ${chains.reason}${link ?? ''}`]];
}

function rankRows(plan: Plan): string[][] {
  const { perRank } = plan;
  return [
    ['parameters', `${formatCount(perRank.numParameters)} (${formatBytes(perRank.parameterBytes)})`],
    ['gradients', `${formatBytes(perRank.gradientBytes)}${describeBuckets(plan)}`],
    ['optimizer', formatBytes(perRank.optimizerBytes)],
    ['activations', formatBytes(perRank.activationBytes)],
    ...(perRank.communicationBytes > 0 ? [['messages', formatBytes(perRank.communicationBytes)]] : []),
    ['peak memory', `${formatBytes(perRank.peakBytes)}, ${formatBytes(perRank.reservedBytes)} taken`],
    ['states', formatBytes(perRank.stateBytes)],
    ['arithmetic', `${formatCount(perRank.flopsPerStep)} FLOP a step`],
  ];
}

/** Whether they are summed over ranks piece by piece. */
function describeBuckets({ gradientBucketBytes: bytes, perRank }: Plan): string {
  if (bytes === null || bytes >= perRank.gradientBytes) return '';
  return `, summed over ranks in buckets of ${formatBytes(bytes)} or more`;
}

function strategyRows({ modelled, strategy }: Plan): string[][] {
  return [
    costHeader('strategy'),
    ...modelled.map((row) => costRow(row, row.strategy === strategy ? 'runs' : '')),
  ];
}

/** The candidates for the scans of layers that are alike: the best of each strategy. */
function scanTable(plan: Plan, { layers, kinds, candidates, ...sizes }: ModelledScans): string {
  const chosen = describeScan(plan.scans[layers[0]!]!);
  const best = candidates.filter(
    (one, i) => candidates.findIndex(({ strategy }) => strategy === one.strategy) === i,
  );
  const title = [
    `${describeLayerRange(layers)}: ${kinds.join(' and ')}`,
    `${formatBytes(sizes.stateBytes)} of state`,
    `${formatBytes(sizes.transitionBytes)} of M`,
    sizes.besideS === null
      ? 'nothing overlapped'
      : `${formatSeconds(sizes.besideS)} of computation beside the scans`,
  ].join(', ');
  const rows = best.map((one) => [
    describeScan(one),
    formatSeconds(one.seconds),
    `${one.isBound ? '>= ' : ''}${formatSeconds(one.exposedS)}`,
    formatBytes(one.bytesSent),
    describeScan(one) === chosen ? 'runs' : '',
  ]);
  const header = ['scans of a layer', 'a step (modelled)', 'exposed', 'sent, most', ''];
  return ['', title, formatTable([header, ...rows], '<>>>')].join('\n');
}

/** Nothing where no layer has softmax attention. */
function attentionTable({ modelledAttention, attentionStrategy }: Plan): string[] {
  if (modelledAttention.length === 0) return [];
  const rows = modelledAttention.map((row) =>
    costRow(row, row.strategy === attentionStrategy ? 'runs, counted above' : ''),
  );
  return ['', formatTable([costHeader('attention strategy'), ...rows], '<>>>')];
}

function costHeader(what: string): string[] {
  return [what, 'a step (modelled)', 'sent, most', 'sent, least', ''];
}

function costRow({ strategy, seconds, bytesSentByRank }: ModelledStrategy, note: string): string[] {
  return [
    strategy,
    formatSeconds(seconds),
    formatBytes(Math.max(...bytesSentByRank)),
    formatBytes(Math.min(...bytesSentByRank)),
    note,
  ];
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
