import { z } from 'zod';
import {
  count,
  fitErrors,
  fittedPoint,
  nonNegative,
  onlyVersion,
  origin,
  table,
  text,
} from '../spec/measured-values.js';

export const computeFileVersion = 1;

// Each schema's message is what an error names as expected.
const atLeastOne = z.number('a number >= 1').min(1, 'a number >= 1');

const opCostSchema = z.strictObject(
  { launchS: nonNegative, secondsPerByte: nonNegative, secondsPerFlop: nonNegative },
  { error: table },
);

/** A step that the costs were fitted to. */
const shapeSchema = z.strictObject(
  {
    /** Sequences and their tokens. */
    B: count,
    T: count,
    dModel: count,
    numLayers: count,
    /** Measured: median of the steps that were not profiled. */
    ...fittedPoint,
  },
  { error: table },
);

const measuredSchema = z.strictObject(
  {
    ...origin,
    /** Compute threads of a rank; null on GPUs. */
    threads: count.nullable(),
    precision: text,
    ...fitErrors,
    shapes: z.array(shapeSchema, 'a list').min(1, 'a list that is not empty'),
  },
  { error: table },
);

/** A compute file: what ops cost on a machine. Without `measured` they are somebody's assumptions. */
export const computeFileSchema = z
  .strictObject(
    {
      schema: onlyVersion(computeFileVersion),
      name: text,
      ops: z.record(z.string(), opCostSchema, table),
      other: opCostSchema,
      ranksAtOnce: count.nullable(),
      slowdown: z.array(atLeastOne, 'a list').min(1, 'a list that begins with 1'),
      enqueueS: nonNegative.optional(),
      measured: measuredSchema.optional(),
    },
    { error: table },
  )
  .refine(({ slowdown }) => slowdown[0] === 1, { path: ['slowdown', 0], error: '1: a rank alone' })
  .refine(({ ranksAtOnce, slowdown }) => slowdown.length === (ranksAtOnce ?? 1), {
    path: ['slowdown'],
    error: 'as many numbers as ranksAtOnce; one where that is null',
  });

export type ComputeFile = z.infer<typeof computeFileSchema>;
export type FittedShape = z.infer<typeof shapeSchema>;
