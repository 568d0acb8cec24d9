import { z } from 'zod';
import { traceWindowPattern } from './trace-window.js';

/**
 * The job file as a schema: every key, its type, range and default. A section is strict, so a key that is not
 * written here is an error. `jobFileSchema` is what a user writes; `jobSpecSchema` is the same job fully resolved
 * (layers expanded, paths absolute), which is what plans, run folders and ranks hold.
 *
 * Names that depend on what is installed (layers, strategies, launchers) are plain strings here and are checked
 * against the folder listings by the coordinator.
 */

const count = z.int().min(1);
const countOrZero = z.int().min(0);
const milliseconds = z.int().min(1).max(86_400_000);
/** What may become part of a folder name on every file system. */
const runNamePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

const jobSection = z.strictObject({
  /** Start of the run folder's name. */
  name: z
    .string()
    .regex(runNamePattern)
    .describe('letters, digits, ".", "_" and "-", at most 64, a letter or digit first')
    .default('run'),
  seed: z.int().min(0).max(0xffff_ffff).default(42),
  /** Optimizer steps in the whole job, those before a resume included. */
  steps: count.default(1000),
  /** The same bits for every number of ranks, at some cost in speed. */
  deterministic: z.boolean().default(false),
  /** Units a sequence is cut into in deterministic mode; 0 lets the planner choose. */
  canonicalSegments: countOrZero.default(0),
  /** Steps between two lines of the console; metrics.jsonl holds every step. */
  logEvery: count.default(10),
  /** Steps whose timeline every rank writes: one (`7`) or the first and the last (`5-10`). */
  trace: z
    .string()
    .regex(traceWindowPattern)
    .nullable()
    .describe('a step, or the first and the last of several: "5-10"')
    .default(null),
});

/** Options of a layer: checked against the layer's own `config`, not here. */
const layerOptions = z.record(z.string(), z.unknown());

const layerUse = z.union([z.string().min(1), z.looseObject({ use: z.string().min(1) })]);

const modelKeys = {
  /** Width of the residual stream. */
  dModel: count.max(1_048_576).default(256),
  numLayers: count.max(4096).default(4),
  /** Default number of heads for layers that do not set their own. */
  numHeads: count.max(65_536).default(4),
  /** A sequence is cut between chunks of so many tokens; kernels choose the tiles inside by themselves. */
  chunk: count.max(4096).default(64),
  vocabSize: count.max(2 ** 31 - 1).default(256),
  /** Hidden width of the SwiGLU block; 0 leaves it out, 'auto' is 8/3 dModel rounded up to a multiple of 64. */
  mlp: z.union([countOrZero.max(1_048_576), z.literal('auto')]).default('auto'),
  /**
   * What is learned: `causal`, the token that follows those before it, or `masked`, hidden tokens from those on both sides:
   * recurrences then run in both directions.
   */
  objective: z.enum(['causal', 'masked']).default('causal'),
  /** The output head is the embedding transposed. */
  tieEmbeddings: z.boolean().default(true),
  precision: z.enum(['f32', 'bf16']).default('f32'),
  /**
   * What the backward pass computes again instead of keeping it: nothing, the outputs of norms and activations (`cheap`), or
   * whole blocks (true).
   */
  recompute: z
    .union([z.boolean(), z.literal('cheap')])
    .describe('false, "cheap" or true')
    .default(false),
  /** How many blocks, from the first one, that is for: the rest keep everything, in memory that is left. */
  recomputedBlocks: z.union([count, z.literal('all')]).default('all'),
  /**
   * Tokens of a sequence whose activations are kept at once: a step runs the sequence slice by slice, forward for the states
   * between slices and back again, so that memory does not grow with its length. Gradients are those of the whole; 0: all at
   * once.
   */
  timeSlice: countOrZero.default(0),
  /**
   * With it, blocks of whose MLPs the outputs are kept of all slices between the two sweeps: the second does not run those products
   * with `down` again.
   */
  keptMlps: countOrZero.default(0),
};

const modelSection = z.strictObject({
  ...modelKeys,
  /** One entry, or a pattern whose length divides numLayers and is repeated. */
  layers: z
    .union([layerUse, z.array(layerUse).min(1)])
    .describe('a layer name, a path, { use = "name", … } or a list of these')
    .default('gla'),
  /** `[model.layer.<name>]`: defaults for every entry that uses the layer. */
  layer: z.record(z.string(), layerOptions).default({}),
});

export const defaultMaskRate = 0.15;

const dataSection = z.strictObject({
  /** The text, relative to the job file. */
  path: z.string().min(1),
  /**
   * `bytes` and `text` both read the file as raw bytes, one token each; `jsonl` reads one object a line, {"text": …}, each a
   * document.
   */
  format: z.enum(['bytes', 'text', 'jsonl', 'parquet', 'bin']).default('bytes'),
  tokenizer: z.string().min(1).nullable().default(null),
  /** Tokens of one whole sequence, before it is cut over the sp ranks. */
  sequenceLength: count.default(4096),
  /** Sequences per optimizer step, over all dp ranks. */
  batchSize: count.default(1),
  /** Micro-batches per optimizer step. */
  accumulate: count.default(1),
  /**
   * Documents follow one another in a sequence, with boundaries anywhere; nothing of one reaches the next. Otherwise every
   * sequence is one document, or a part of one, and padding.
   */
  packing: z.boolean().default(false),
  /** A string that begins a document wherever it stands in the text; without one a text is one document. */
  separator: z.string().min(1).nullable().default(null),
  /**
   * Sequences go on from those of the step before, with the memory that those left; gradients stop in between. Each row
   * of a batch reads a part of the text of its own, in order.
   */
  carry: z.boolean().default(false),
  /** Under the masked objective, the probability with which a token is hidden. */
  maskRate: z.number().gt(0).lt(1).default(defaultMaskRate),
  /** Fraction of the text held out from its end, or the path of a text of its own; 0 holds out nothing. */
  validation: z
    .union([z.number().min(0).lt(1), z.string().min(1)])
    .describe('a fraction >= 0 and < 1, or a path')
    .default(0.05),
  /** Steps between two validations; 0 validates only after the last step. */
  validateEvery: countOrZero.default(100),
  /** `bigram` prints the training text's bigram entropy beside the loss. */
  baseline: z.enum(['none', 'bigram']).default('none'),
});

/** A size in bytes, with its unit. */
const memoryPattern = /^(?:auto|(\d+(?:\.\d+)?) ?(B|KiB|MiB|GiB|TiB))$/;
const memoryForm = '"auto", or a number with B, KiB, MiB, GiB or TiB, as "80GiB"';
const memoryUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** Bytes of a size as `device.memory` and `parallel.gradientBucket` have it; null: `auto`. */
export function parseMemory(text: string): number | null {
  const [, number, unit] = memoryPattern.exec(text) ?? [];
  if (number === undefined) return null;
  return Number(number) * 1024 ** memoryUnits.indexOf(unit as (typeof memoryUnits)[number]);
}

const parallelSection = z.strictObject({
  /** Ranks that one sequence is cut over. */
  sp: count.max(65_536).default(1),
  /** Replicas that the batch is divided over. */
  dp: count.max(65_536).default(1),
  /** How the memory state crosses ranks; `auto` is the planner's choice. */
  strategy: z.string().min(1).default('auto'),
  /** Blocks that all-scan cuts a state into. */
  blocks: z.union([count.max(4096), z.literal('auto')]).default('auto'),
  /** The same for softmax layers. */
  attentionStrategy: z.string().min(1).default('auto'),
  /**
   * What the links between ranks cost: a preset of the planner's, the path of a fabric file relative to the job file,
   * `auto`, the preset of the links that the launcher's ranks have, or `probe`: the ranks are started once before planning
   * and measure it.
   */
  fabric: z.string().min(1).default('auto'),
  /** Neighbouring ranks that share a node and its fast links; `auto`: as many as the fabric says, else all. */
  ranksPerNode: z.union([count.max(65_536), z.literal('auto')]).default('auto'),
  /** ZeRO stage: what is sharded over dp x sp. */
  zero: z.int().min(0).max(3).default(0),
  /**
   * Gradients are summed over ranks beside the backward pass, as soon as so many are final, from the last block to the first;
   * more than there are: all at its end. `auto` is the planner's choice, by what links cost.
   */
  gradientBucket: z.string().regex(memoryPattern).describe(memoryForm).default('auto'),
});

export const optimizerSection = z.strictObject({
  name: z.enum(['adamw']).default('adamw'),
  /** Highest learning rate, reached after the warm-up. */
  lr: z.number().gt(0).default(1e-3),
  betas: z
    .tuple([z.number().min(0).lt(1), z.number().min(0).lt(1)])
    .describe('two numbers >= 0 and < 1')
    .default([0.9, 0.95]),
  eps: z.number().gt(0).default(1e-8),
  /** What AdamW's two moments of a parameter are held in between steps; bf16 is rounded stochastically. */
  moments: z.enum(['f32', 'bf16']).default('f32'),
  /** Decoupled: multiplied by the learning rate, not added to the gradient. */
  weightDecay: z.number().min(0).default(0.1),
  /** Parts of parameter names (between dots) that are exempt from weight decay, beside vectors and what layers exempt. */
  noDecay: z.array(z.string().min(1)).default(['norm', 'bias', 'embedding']),
  /** Largest global gradient norm; 0 switches clipping off. */
  clipNorm: z.number().min(0).default(1),
  schedule: z.enum(['cosine', 'linear', 'constant']).default('cosine'),
  warmupSteps: countOrZero.default(10),
  /** Where cosine and linear end, as a fraction of lr. */
  minLrRatio: z.number().min(0).max(1).default(0.1),
  /** What a loss or gradient that is not finite leads to, on every rank alike. */
  nonFinite: z.enum(['stop', 'skip', 'rollback']).default('stop'),
});

const checkpointSection = z.strictObject({
  /** Steps between two checkpoints; 0 saves only after the last step. */
  every: countOrZero.default(500),
  /** Newest checkpoints kept; at least two, since the newest may be the one being written. 0 keeps all. */
  keep: countOrZero.default(3),
  /** Training goes on while a checkpoint is written. */
  async: z.boolean().default(false),
});

const launchSection = z.strictObject({
  launcher: z.string().min(1).default('local'),
  /** How often the job is started again after a rank was lost. */
  restarts: countOrZero.default(0),
  /** How long all ranks together have to say hello. */
  rendezvousTimeoutMs: milliseconds.default(60_000),
  heartbeatIntervalMs: milliseconds.default(1_000),
  /** Silence after which a rank counts as lost. */
  heartbeatTimeoutMs: milliseconds.default(5_000),
  /** How long a collective waits for its slowest peer. */
  collectiveTimeoutMs: milliseconds.default(120_000),
  /** How long ranks have to finish a step and save after a stop, and their processes to end when their task is done. */
  stopTimeoutMs: milliseconds.default(90_000),
});

const deviceKeys = {
  kind: z.enum(['cpu', 'cuda']).default('cpu'),
  /** Compute threads per rank; `auto` divides this machine's cores by its ranks. */
  threads: z.union([count.max(1024), z.literal('auto')]).default('auto'),
  /**
   * What a rank may have, as `80GiB`; a job that needs more is refused. `auto`: on CPUs an equal part of what the host has
   * available, on GPUs what the GPU has, which the planner knows where `parallel.fabric` names its kind.
   */
  memory: z.string().regex(memoryPattern).describe(memoryForm).default('auto'),
  /** Where there are more ranks than GPUs, several take turns on one, for tries; ranks always share a CPU. */
  share: z.boolean().default(false),
  /** On GPUs: passes of steps whose shapes recur are recorded once and launched as CUDA graphs. */
  graphs: z.boolean().default(true),
};

/** What carries tensors between ranks. */
const engines = ['tcp', 'ucx', 'nccl'] as const;

const deviceSection = z.strictObject({
  ...deviceKeys,
  /** `auto`: nccl on GPUs, tcp on CPUs. */
  engine: z.enum(['auto', ...engines]).default('auto'),
});

const sections = {
  job: jobSection.prefault({}),
  parallel: parallelSection.prefault({}),
  optimizer: optimizerSection.prefault({}),
  checkpoint: checkpointSection.prefault({}),
  launch: launchSection.prefault({}),
};

/** A job as written: what a TOML, YAML or JSON file, the environment and --set together say. */
export const jobFileSchema = z.strictObject({
  ...sections,
  device: deviceSection.prefault({}),
  model: modelSection.prefault({}),
  data: dataSection,
});

/** One layer of the model, counted from the embedding. */
const layerEntrySchema = z.strictObject({
  /** Name of a layer of the worker's layers folder; for a file of the user's, the path as written. */
  use: z.string(),
  /** `[model.layer.<use>]` with the entry's own options over it. */
  options: layerOptions,
  /** Absolute path of a layer file outside the packages. */
  file: z.string().nullable(),
});

/** A fully resolved job: every value present, every path absolute, one entry per layer. */
export const jobSpecSchema = z.strictObject({
  ...sections,
  device: z.strictObject({ ...deviceKeys, engine: z.enum(engines).default('tcp') }).prefault({}),
  model: z.strictObject({ ...modelKeys, mlp: countOrZero, layers: z.array(layerEntrySchema).min(1) }),
  data: dataSection,
});

export type JobFile = z.infer<typeof jobFileSchema>;
export type JobSpec = z.infer<typeof jobSpecSchema>;
export type LayerEntry = z.infer<typeof layerEntrySchema>;

/** Keys (or whole sections) that may differ between a run and its resumption. */
export const resumableKeys: readonly string[] = [
  'job.steps',
  'job.trace',
  'model.precision',
  'model.recompute',
  'model.recomputedBlocks',
  'model.timeSlice',
  'model.keptMlps',
  'device',
  'launch',
  'checkpoint',
  'parallel.sp',
  'parallel.dp',
  'parallel.strategy',
  'parallel.attentionStrategy',
  'parallel.fabric',
  'parallel.ranksPerNode',
  'parallel.zero',
  'parallel.gradientBucket',
  'optimizer.moments',
];
