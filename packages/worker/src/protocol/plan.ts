import type { TransitionKind } from '@longscan/kernels';
import { z } from 'zod';
import type { AttentionCall } from '../attention-strategy.js';
import { jobSpecSchema } from './job-spec.js';

const count = z.int().min(0);

/** One recurrence call of one layer, as the shape-only trace of the model saw it. Sizes are those of one rank. */
export interface RecurrenceTrace {
  /** Index of the layer, counted from the embedding. */
  readonly layer: number;
  /** Bytes of E as sent (f32, all parts), for the sequences of one rank. */
  readonly stateBytes: number;
  /** Rows of E, between which it may be cut. */
  readonly stateRows: number;
  /** Of all sequences of the rank; each has an M of its own. */
  readonly numHeads: number;
  /** Bytes of M as sent, none when it is known from the length, and of reset bits where documents are packed. */
  readonly transitionBytes: number;
  /** Class of M. */
  readonly kind: TransitionKind;
}

/** Tokens that one short convolution or token shift needs from the rank before, as the trace saw it. */
export interface HaloTrace {
  /** Index of the layer, counted from the embedding. */
  readonly layer: number;
  /** Bytes as sent in one direction, for the sequences of one rank. */
  readonly bytes: number;
}

/** One call of softmax attention, as the trace saw it. */
export interface AttentionTrace extends AttentionCall {
  /** Index of the layer, counted from the embedding. */
  readonly layer: number;
}

/** A state that is summed over all ranks of a sequence, and its gradient after it, as the trace saw it. */
export interface SumTrace {
  /** Index of the layer, counted from the embedding. */
  readonly layer: number;
  /** Bytes of the state, for the sequences of one rank. */
  readonly bytes: number;
}

/** Keys and values that one call of attention to both sides fetches from other ranks, as the trace saw it. */
export interface FetchTrace {
  /** Index of the layer, counted from the embedding. */
  readonly layer: number;
  /** Bytes of one rank's keys and values as sent, for the sequences of one rank. */
  readonly sliceBytes: number;
  /** How far a rank looks from the ends of its slice, in slices; null: over the whole sequence. */
  readonly reachSlices: number | null;
}

/** What a layer says of itself. */
export interface LayerTrace {
  readonly name: string;
  /** Slices must be multiples of this many tokens. */
  readonly sliceMultiple: number;
  /** Under the masked objective, why it cannot read in both directions; left out: it can. */
  readonly causalOnly?: string;
}

/** What a model needs on one rank, read from a trace of the layers' own code with shape-only tensors. */
export interface ModelTrace {
  readonly numParameters: number;
  /** Bytes that the forward pass keeps for the backward pass. */
  readonly activationBytes: number;
  /** Of the outputs of MLPs that one pass over time slices keeps for the next, all blocks together. */
  readonly keptMlpBytes: number;
  /** Floating-point operations per token, forward and backward. */
  readonly flopsPerToken: number;
  readonly recurrences: readonly RecurrenceTrace[];
  readonly halos: readonly HaloTrace[];
  readonly sums: readonly SumTrace[];
  readonly fetches: readonly FetchTrace[];
  readonly attentions: readonly AttentionTrace[];
  /** By layer, counted from the embedding. */
  readonly layers: readonly LayerTrace[];
}

/** The axes that the ranks are laid out on: `rank = dpIndex * sp + spIndex`. */
const meshSchema = z.strictObject({
  sp: z.int().min(1),
  dp: z.int().min(1),
  numRanks: z.int().min(1),
});

/** The contiguous run of tokens that one sp rank holds of every sequence. */
const sliceSchema = z.strictObject({
  /** First token, counted in the padded sequence. */
  start: count,
  /** Tokens held, padding included; a multiple of the chunk. */
  length: z.int().min(1),
  /** Tokens that are not padding; at least 1. */
  numTokens: z.int().min(1),
});

/** What one rank holds; the largest value over the ranks where they differ. Bytes unless the name says otherwise. */
const rankCostSchema = z.strictObject({
  numParameters: count,
  parameterBytes: count,
  gradientBytes: count,
  optimizerBytes: count,
  /** Of earlier versions: rounded copies of the parameters, which were held beside them. */
  workingBytes: count.optional(),
  /** Of the peak: what the forward pass keeps, gradients of it, and what ops work with. */
  activationBytes: count,
  /** Of the peak: buffers of messages and collectives, and what they brought. */
  communicationBytes: count.default(0),
  /** Highest sum of all tensors alive at once; what kernels and libraries take for themselves comes on top. */
  peakBytes: count,
  /** What the allocator takes: free memory that no later tensor fits into is among it. */
  reservedBytes: count.default(0),
  /** Incoming states of all recurrence calls, kept for the backward pass. */
  stateBytes: count,
  flopsPerStep: z.number().min(0),
});

const linkSchema = z.strictObject({
  latencyS: z.number().min(0),
  gapS: z.number().min(0),
  bandwidthBytesPerS: z.number().gt(0),
});

const chainLinkSchema = z.strictObject({
  launchS: z.number().min(0),
  latencyS: z.number().min(0),
  bandwidthBytesPerS: z.number().gt(0),
  denseFlopsPerS: z.number().gt(0).optional(),
});

/** The links that a plan was made for. */
const planFabricSchema = linkSchema.extend({
  name: z.string(),
  /** Left out: all links are alike. */
  nodes: z.strictObject({ ranksPerNode: z.int().min(1), between: linkSchema }).optional(),
  /** Of chains through mapped memory; left out: nobody knows. */
  chains: chainLinkSchema.optional(),
  /** What whoever relies on these numbers has to know. */
  notes: z.array(z.string()).readonly().optional(),
  /** Of links that were measured for this plan: how far the fit is from the times that it was made of. */
  probe: z
    .strictObject({
      /** ISO 8601. */
      date: z.string(),
      numRanks: z.int().min(2),
      meanRelativeError: z.number().min(0),
      worstRelativeError: z.number().min(0),
    })
    .optional(),
});

/** How chains over the ranks of a sequence are expected to go: the ranks find out for themselves when they connect. */
const chainPlanSchema = z.strictObject({
  carrier: z.enum(['mapped-memory', 'messages']),
  /** A sentence without its full stop. */
  reason: z.string(),
});

/** How the states of one layer cross ranks. */
const scanChoiceSchema = z.strictObject({
  /** Never `auto`. */
  strategy: z.string(),
  /** Blocks of the free axis; 1 under strategies that cut nothing. */
  blocks: z.int().min(1),
  /** Neighbouring ranks that `two-level` takes for a node: all, or a divisor of sp. */
  ranksPerNode: z.int().min(1),
});

/** Cost model of one SP strategy for one step: all recurrence calls and halos, forward and backward. */
const modelledStrategySchema = z.strictObject({
  strategy: z.string(),
  seconds: z.number().min(0),
  /** By sp rank. */
  bytesSentByRank: z.array(z.number().min(0)),
});

/** What the scans of layers that are alike would cost one of them in a step, forward and in reverse. */
const modelledScansSchema = z.strictObject({
  /** Counted from the embedding. */
  layers: z.array(count).min(1),
  /** Classes of M, one for each recurrence. */
  kinds: z.array(z.string()).min(1),
  /** Of all recurrences of a layer, as in `RecurrenceTrace`. */
  stateBytes: count,
  transitionBytes: count,
  /** Computation that goes on while scans are under way; null: not known, nothing is counted as overlapped. */
  besideS: z.number().min(0).nullable(),
  /** The best first. */
  candidates: z.array(
    scanChoiceSchema.extend({
      /** With nothing beside the scans. */
      seconds: z.number().min(0),
      /** By how much they make a step longer. */
      exposedS: z.number().min(0),
      /** By the rank that sends most. */
      bytesSent: z.number().min(0),
      /** Only what links need at least: others were better by that alone. */
      isBound: z.boolean(),
    }),
  ),
});

export const planSchema = z.strictObject({
  jobSpec: jobSpecSchema,
  mesh: meshSchema,
  /** By sp rank. */
  slices: z.array(sliceSchema).min(1),
  /** Length of a sequence with the padding at its end: a multiple of sp x chunk. */
  paddedLength: z.int().min(1),
  padTokens: count,
  /** Sequences that each dp rank takes of a step. */
  sequencesPerRank: z.int().min(1),
  /** The strategy of all layers; `mixed` where they differ. */
  strategy: z.string(),
  /** By layer; those of layers without recurrences are what most others have. Empty on one rank. */
  scans: z.array(scanChoiceSchema),
  /** The strategy for softmax layers that will run; never `auto`. */
  attentionStrategy: z.string(),
  /** Neighbouring ranks that share a node, at most sp. */
  ranksPerNode: z.int().min(1),
  /**
   * Gradients are summed over ranks as soon as so many are final, 0: those of a block; null: all at once, when the backward pass is over.
   */
  gradientBucketBytes: z.number().min(0).nullable().default(null),
  perRank: rankCostSchema,
  /** Left out: a plan of a longscan that did not say. */
  fabric: planFabricSchema.optional(),
  /** Left out: there is nothing but messages, or nobody to send any. */
  chains: chainPlanSchema.optional(),
  /** By kind of layer: what the choices were made of. */
  modelledScans: z.array(modelledScansSchema),
  /** Fastest first. */
  modelled: z.array(modelledStrategySchema),
  /** The same of strategies for softmax layers, all calls of a step; `modelled` has those of the one that will run in it. */
  modelledAttention: z.array(modelledStrategySchema),
  /** Things worth telling the user, one sentence each. */
  notes: z.array(z.string()),
});

export type ChainPlan = z.infer<typeof chainPlanSchema>;
export type PlanFabric = z.infer<typeof planFabricSchema>;
export type Mesh = z.infer<typeof meshSchema>;
export type ScanChoice = z.infer<typeof scanChoiceSchema>;
export type Slice = z.infer<typeof sliceSchema>;
export type ModelledScans = z.infer<typeof modelledScansSchema>;
export type ModelledStrategy = z.infer<typeof modelledStrategySchema>;
/** Who does what: pure data, made by the coordinator from a job and followed by every rank. */
export type Plan = z.infer<typeof planSchema>;
