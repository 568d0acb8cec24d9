import { LongscanError } from '@longscan/kernels/errors';
import { z } from 'zod';
import { jobSpecSchema } from '../protocol/job-spec.js';
import { sha256Schema } from '../protocol/sha256.js';
import { textsSchema } from '../protocol/texts.js';
import { corrupt } from './errors.js';
import { formatVersion } from './files.js';

const count = z.int().min(0);

const tensorSignatureSchema = z.strictObject({
  name: z.string(),
  dtype: z.string(),
  shape: z.array(count),
});

const manifestSchema = z.strictObject({
  formatVersion: z.int().min(1).max(formatVersion),
  /** Optimizer steps done. */
  step: count,
  /** Ranks that wrote it. Nothing in a checkpoint depends on them: every rank holds all parameters. */
  world: z.strictObject({ sp: z.int().min(1), dp: z.int().min(1) }),
  /** The job as it ran, so that a checkpoint can be used without its run folder. */
  jobSpec: jobSpecSchema,
  jobHash: z.string(),
  /** sha256 of each bundled layer file of the user's, by its path in the job. */
  codeHashes: z.record(z.string(), z.string()),
  /** The texts that it was trained on; null in checkpoints of version 1, which do not say. */
  texts: textsSchema.nullable().default(null),
  /** Names and shapes of all parameters, in the model's order. */
  signature: z.array(tensorSignatureSchema),
  /** Where the training text stands; follows from the step and is here for people. */
  data: z.strictObject({ epoch: count, sequence: count }),
  /** What the trainer needs besides tensors: states of random generators, loss scale and the like. */
  trainer: z.record(z.string(), z.union([z.number(), z.string(), z.boolean(), z.null()])),
  files: z.record(
    z.string().regex(/^[a-z]+\.safetensors$/),
    z.strictObject({ bytes: count, sha256: sha256Schema }),
  ),
});

export type Manifest = z.infer<typeof manifestSchema>;
export type TensorSignature = z.infer<typeof tensorSignatureSchema>;

/** `file`: where it was read. Errors: E-CKPT-CORRUPT, -VERSION. */
export function parseManifest(value: unknown, file: string): Manifest {
  checkVersion(value, file);
  const parsed = manifestSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  throw corrupt(
    file,
    path.length === 0 ? message : `${path.join('.')}: ${message}`,
    'the manifest of a checkpoint of this version of longscan',
    'use the version that wrote it',
  );
}

/** Looked at before anything else, since a newer manifest may have any shape. Errors: E-CKPT-VERSION; E-CKPT-CORRUPT where there is none. */
function checkVersion(value: unknown, file: string): void {
  const { formatVersion: found } = z
    .looseObject({ formatVersion: z.unknown() })
    .catch({ formatVersion: null })
    .parse(value);
  if (typeof found !== 'number' || !Number.isInteger(found) || found < 1)
    throw corrupt(file, `format version ${JSON.stringify(found)}`, `a whole number up to ${formatVersion}`);
  if (found <= formatVersion) return;
  throw new LongscanError({
    code: 'E-CKPT-VERSION',
    where: file,
    found: `format version ${found}`,
    expected: `at most ${formatVersion}`,
    fix: 'use the version of longscan that wrote it, or a newer one',
    exitCode: 4,
  });
}
