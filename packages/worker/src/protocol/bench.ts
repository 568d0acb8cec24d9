import { z } from 'zod';

/** Recurrences by the name of the layer that has them. */
export const benchRecurrences = [
  'linear-attention',
  'lightning',
  'simple-gla',
  'gla',
  'rwkv6',
  'deltanet',
  'gated-deltanet',
  'kda',
  'gated-deltaproduct',
  'comba',
  'rwkv7',
  'hgrn',
  'mamba',
  'mlstm',
  's4d',
  's5',
  'mesanet',
  'slstm',
] as const;

export type BenchRecurrence = (typeof benchRecurrences)[number];

/** What is timed on a device: these, and what many layers have in front of theirs. */
export const benchOps = [...benchRecurrences, 'short-convolution', 'token-shift'] as const;

export type BenchOp = (typeof benchOps)[number];

const size = z
  .int()
  .min(1)
  .max(2 ** 31 - 1);

/** Sizes of one measurement: batch, tokens, heads, key and value channels of a head; ops without heads have H · V channels. */
export const benchShapeSchema = z.strictObject({ B: size, T: size, H: size, K: size, V: size });

export type BenchShape = Readonly<z.infer<typeof benchShapeSchema>>;

/** What a training step's time is shared out to: kinds of native functions, and time in which none of them ran. */
export const stepParts = [
  'gemm',
  'recurrence',
  'pointwise',
  'loss',
  'optimizer',
  'communication',
  'other',
  'idle',
] as const;

export type StepPart = (typeof stepParts)[number];
