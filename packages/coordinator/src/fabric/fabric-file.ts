import { z } from 'zod';
import {
  count,
  fitErrors,
  fittedPoint,
  nonNegative,
  onlyVersion,
  origin,
  positive,
  table,
  text,
} from '../spec/measured-values.js';

export const fabricFileVersion = 1;

// Each schema's message is what an error names as expected.
const atLeastTwo = z.int('an integer >= 2').min(2, 'an integer >= 2');

/** Of one rank's port: see `LinkCost`. */
const linkSchema = z.strictObject(
  { latencyS: positive, gapS: positive, bandwidthBytesPerS: positive },
  { error: table },
);

/** Chains through mapped memory: see `ChainLinkCost`. */
const chainLinkSchema = z.strictObject(
  {
    launchS: nonNegative,
    latencyS: nonNegative,
    bandwidthBytesPerS: positive,
    denseFlopsPerS: positive.optional(),
  },
  { error: table },
);

const residualKinds = ['latency', 'gap', 'chain', 'chain-run'] as const;

/**
 * A point that a link was fitted to. `latency` and `gap`: time of one message, half of its way there and back or one of a burst;
 * `chain` and `chain-run`: the same of chains through mapped memory.
 */
const residualSchema = z.strictObject(
  {
    kind: z.enum(residualKinds, `one of ${residualKinds.join(', ')}`),
    bytes: nonNegative,
    ...fittedPoint,
  },
  { error: table },
);

const linkFitSchema = z.strictObject(
  {
    ...fitErrors,
    residuals: z.array(residualSchema, 'a list'),
  },
  { error: table },
);

const measuredSchema = z.strictObject(
  {
    ...origin,
    /** What carried the messages. */
    engine: text,
    numRanks: atLeastTwo,
    fit: z.strictObject(
      { inside: linkFitSchema, between: linkFitSchema.optional(), chains: linkFitSchema.optional() },
      { error: table },
    ),
    /** Rows of `bench collectives`. */
    points: z.array(z.record(z.string(), z.unknown(), table), 'a list'),
  },
  { error: table },
);

/** A fabric file: the links of a machine. Without `measured` they are somebody's assumptions. */
export const fabricFileSchema = z.strictObject(
  {
    schema: onlyVersion(fabricFileVersion),
    name: text,
    /** Between ranks of a node; of all ranks where there are no nodes. */
    link: linkSchema,
    nodes: z.strictObject({ ranksPerNode: count, between: linkSchema }, { error: table }).optional(),
    /** Between GPUs of one host that map each other's memory. Left out: chains are counted as messages. */
    chains: chainLinkSchema.optional(),
    measured: measuredSchema.optional(),
  },
  { error: table },
);

export type FabricFile = z.infer<typeof fabricFileSchema>;
export type LinkFit = z.infer<typeof linkFitSchema>;
