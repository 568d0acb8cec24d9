import { z } from 'zod';
import { sha256Schema } from './sha256.js';

/** What a text was when a run began: its size, and what shows cheaply that it is another one by now. */
const textIdentitySchema = z.strictObject({
  /** Of the file. One that has grown since is read no further. */
  bytes: z.int().min(0),
  /** Of stretches of the file, hex; of all of it where that is little. */
  sha256: sha256Schema,
  /** Of where its documents start, hex; null for a text that is one document. */
  documents: sha256Schema.nullable(),
});

/** The texts of a job: which batches a step has follows from them and the job alone. */
export const textsSchema = z.strictObject({
  /** Of `data.path`. */
  path: textIdentitySchema,
  /** Of `data.validation`; null where that names no text of its own. */
  validation: textIdentitySchema.nullable(),
});

export type TextIdentity = z.infer<typeof textIdentitySchema>;
export type Texts = z.infer<typeof textsSchema>;
